"""What a run would do with each clip of a production."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict

from prefect_seedance.api.models import facts_of
from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.clips.history import ClipHistory, ClipStatus
from prefect_seedance.clips.retry import failure
from prefect_seedance.clips.unresolved import submitting_message
from prefect_seedance.options import RetryPolicy
from prefect_seedance.report.formatting import tally
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.media import SourceMedia
from prefect_seedance.storyboard.plan import Plan


class Action(StrEnum):
    """What a run would do with a clip."""

    make = "make"
    reuse = "reuse"
    archive = "archive"
    """The API finished it, and it is not archived yet."""
    wait = "wait"
    """It is paid for and in flight."""
    keep_unresolved = "leave unresolved"
    keep_unreadable = "leave unreadable"
    keep_failed = "leave failed"


class ForecastImage(BaseModel):
    """One image, and what the API would receive.

    Attributes:
        width: In pixels, upright; None if the API fetches it from a URL of its own.
        changes: Made before it is hosted; empty if the API receives the file byte for byte.
        sent_width: After the changes.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    width: int | None
    height: int | None
    changes: tuple[str, ...]
    sent_width: int | None
    sent_height: int | None

    @classmethod
    def of(cls, image: SourceImage) -> Self:
        """Describe a source image."""
        sent = image.converted_size or (image.width, image.height)
        return cls(
            source=image.source if image.is_local else image.identity,
            width=image.width,
            height=image.height,
            changes=image.changes,
            sent_width=sent[0],
            sent_height=sent[1],
        )


class ForecastMedia(BaseModel):
    """A video or an audio file that is a reference.

    Attributes:
        format: None if the API fetches it from a URL of its own, as all below.
        width: None for an audio file.
        frame_rate: Frames a second; None for an audio file.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    format: str | None
    duration_seconds: float | None
    size_bytes: int | None
    width: int | None
    height: int | None
    frame_rate: float | None

    @classmethod
    def of(cls, file: SourceMedia) -> Self:
        """Describe a video or an audio file."""
        source = file.source if file.is_local else file.identity
        return cls(source=source, **file.model_dump(exclude={"source", "sha256"}))


class ForecastClip(BaseModel):
    """What a run would do with one clip.

    Attributes:
        model: Id of the model that makes it.
        images: The start image and the end image, or fewer, and then those that are references.
        videos: Those that are references.
        audios: Likewise.
        billed_seconds: Of video that making it would bill.
        reason: Why the run would not make it, or what it would wait for.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    name: str
    fingerprint: str
    model: str
    action: Action
    images: tuple[ForecastImage, ...]
    videos: tuple[ForecastMedia, ...]
    audios: tuple[ForecastMedia, ...]
    settings: ClipSettings
    duration_seconds: int
    billed_seconds: int
    generation_id: str | None
    reason: str | None


class Comparison(BaseModel):
    """What the storyboard's own models would bill, beside those of a forecast with another model.

    Attributes:
        billed_seconds: Of video.
        cost: Of the billed seconds; None without a price.
        bought_again: Names of clips that are paid for, and that the other model would make again.
    """

    model_config = ConfigDict(frozen=True)

    billed_seconds: int
    cost: Decimal | None
    bought_again: tuple[str, ...]


class Forecast(BaseModel):
    """What a run would do with a production.

    Attributes:
        model: Ids of the models that make its clips.
        archive: None if none was given, so that every clip would be made.
        cost: Of the billed seconds; None without a price.
        warning: What the author may not expect; empty if there is nothing.
        refusals: Why a run would refuse the production, and the remedies; empty if it would not.
        instead_of: The bill without the replacement of all models; None if none are replaced.
        balance: US dollars that the account has left; None without a key.
        notices: Announcements of the end of its models.
    """

    model_config = ConfigDict(frozen=True)

    production: str
    title: str
    model: str
    archive: str | None
    billed_seconds: int
    cost: Decimal | None
    clips: tuple[ForecastClip, ...]
    warning: str = ""
    refusals: tuple[str, ...] = ()
    instead_of: Comparison | None = None
    balance: Decimal | None = None
    notices: tuple[str, ...] = ()

    @property
    def counts(self) -> Mapping[Action, int]:
        """Clips per action, omitting zeros."""
        return tally((clip.action for clip in self.clips), Action)


def foreseen(
    planned: Plan, histories: Mapping[str, ClipHistory], retry: RetryPolicy
) -> Iterator[ForecastClip]:
    """Yield what a run would do with each clip.

    Args:
        planned: The production's plan.
        histories: What the archive knows of its clips, by fingerprint; clips without one are new.
        retry: Which failures to pay for again.
    """
    firsts = {clip.number for clip in planned.distinct}
    for clip in planned.clips:
        history = histories.get(clip.fingerprint, ClipHistory())
        action = action_for(history, retry)
        is_bought = action is Action.make and clip.number in firsts
        yield ForecastClip(
            number=clip.number,
            name=clip.name,
            fingerprint=clip.fingerprint,
            model=clip.model,
            action=action,
            images=tuple(map(ForecastImage.of, (*clip.images, *clip.references))),
            videos=tuple(map(ForecastMedia.of, clip.videos)),
            audios=tuple(map(ForecastMedia.of, clip.audios)),
            settings=clip.settings,
            duration_seconds=clip.settings.duration,
            billed_seconds=clip.settings.duration if is_bought else 0,
            generation_id=history.decisive.generation_id or None if history.decisive else None,
            reason=_reason(history, action),
        )


def action_for(history: ClipHistory, retry: RetryPolicy) -> Action:
    """Return what a run would do with a clip."""
    if history.is_bought(retry):
        return Action.make
    return {
        ClipStatus.archived: Action.reuse,
        ClipStatus.not_archived: Action.archive,
        ClipStatus.in_flight: Action.wait,
        ClipStatus.submitting: Action.wait,
        ClipStatus.unresolved: Action.keep_unresolved,
        ClipStatus.unreadable: Action.keep_unreadable,
    }.get(history.status, Action.keep_failed)


def _reason(history: ClipHistory, action: Action) -> str | None:
    last = history.decisive
    if action is Action.keep_unreadable:
        return "; ".join(map(str, history.unreadable))
    if action is Action.keep_failed and last and last.outcome:
        return str(failure(last))
    if action is Action.keep_unresolved and last:
        return (
            f"{last.intent.name} was submitted by {last.intent.asked_by}, and no answer is recorded, so it "
            "may already be paid for. Resolve the submission with: "
            f"prefect-seedance resolve ARCHIVE {last.intent.fingerprint[:12]}"
        )
    if history.status is ClipStatus.submitting and last:
        return submitting_message(last)
    return None


_PAID = {Action.reuse, Action.archive, Action.wait}


def compared(new: Forecast, old: Forecast) -> Forecast:
    """Add to a forecast with another model what the storyboard's own models would bill."""
    paid = {clip.number for clip in old.clips if clip.action in _PAID}
    again = (clip.name for clip in new.clips if clip.action is Action.make and clip.number in paid)
    comparison = Comparison(billed_seconds=old.billed_seconds, cost=old.cost, bought_again=tuple(again))
    return new.model_copy(update={"instead_of": comparison})


def notices(planned: Plan) -> Iterator[str]:
    """Yield the announcements of the end of a plan's models."""
    for model in dict.fromkeys(clip.model for clip in planned.clips):
        can = facts_of(model)
        if can.retired_after is None:
            continue
        notice = (
            f"{model} was announced to end on {can.retired_after}. As long as this API serves it, runs make "
            "clips; a run that finds it retired buys nothing."
        )
        if can.successor:
            notice += f" To see what its successor would change, add --model {can.successor}."
        yield notice
