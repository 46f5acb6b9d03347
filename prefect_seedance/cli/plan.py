"""Show what a run would make, reuse and bill, without spending anything."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import PurePath
from typing import Self

from cyclopts import App
from pydantic import BaseModel, ConfigDict
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.api.credentials import base_url_from_env
from prefect_seedance.cli.archives import open_archive, open_if_exists
from prefect_seedance.cli.options import (
    PLAIN,
    AllowHost,
    Archive,
    Json,
    LoadingOptions,
    Name,
    Price,
    RetryOptions,
    Storyboard,
)
from prefect_seedance.cli.printing import count, grid, show
from prefect_seedance.clips.history import ClipHistory, ClipStatus, clip_histories
from prefect_seedance.clips.retry import failure, forbidding
from prefect_seedance.options import Loading, RetryPolicy
from prefect_seedance.storyboard import plan as planning
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.parser import ParsedStoryboard
from prefect_seedance.storyboard.plan import Plan, PlannedClip

app = App(name="plan", default_parameter=PLAIN)


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


_STYLES: Mapping[Action, str] = {
    Action.make: "bold",
    Action.reuse: "green",
    Action.archive: "cyan",
    Action.wait: "cyan",
    Action.keep_unresolved: "bold yellow",
    Action.keep_unreadable: "bold red",
    Action.keep_failed: "red",
}


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
            source=image.source,
            width=image.width,
            height=image.height,
            changes=image.changes,
            sent_width=sent[0],
            sent_height=sent[1],
        )


class ForecastClip(BaseModel):
    """What a run would do with one clip.

    Attributes:
        images: The start image and the end image, or fewer.
        billed_seconds: Of video that making it would bill.
        reason: Why the run would not make it.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    name: str
    fingerprint: str
    action: Action
    images: tuple[ForecastImage, ...]
    duration_seconds: int
    billed_seconds: int
    generation_id: str | None
    reason: str | None


class Forecast(BaseModel):
    """What a run would do with a production.

    Attributes:
        archive: None if none was given, so that every clip would be made.
        cost: Of the billed seconds; None without a price.
    """

    model_config = ConfigDict(frozen=True)

    production: str
    title: str
    model: str
    archive: str | None
    billed_seconds: int
    cost: Decimal | None
    clips: tuple[ForecastClip, ...]

    @property
    def counts(self) -> Mapping[Action, int]:
        """Clips per action, omitting zeros."""
        counts = Counter(clip.action for clip in self.clips)
        return {action: counts[action] for action in Action if counts[action]}


@app.default
def plan(
    storyboard: Storyboard,
    /,
    *,
    archive: Archive = "",
    name: Name = "",
    loading: LoadingOptions = Loading(),
    retry: RetryOptions = RetryPolicy(),
    price_per_second: Price = None,
    allow_host: AllowHost = (),
    json: Json = False,
) -> int:
    """Show what a run would make, reuse and bill, without spending anything.

    It needs no key and reads only the archive, so it does not know what the API has finished since.
    """
    policy = HostPolicy.of(base_url_from_env(), allow_hosts=allow_host)
    loaded = load_storyboard(
        storyboard,
        prompt=loading.prompt,
        allow_outside=loading.allow_outside,
        policy=policy,
        opener=open_archive,
    )
    forecast = asyncio.run(_forecast(loaded, archive, name, retry, price_per_second))
    show(*([forecast.model_dump_json(indent=2)] if json else _rendered(forecast)))
    return 0


async def _forecast(
    loaded: Awaitable[ParsedStoryboard], archive: str, name: str, retry: RetryPolicy, price: Decimal | None
) -> Forecast:
    parsed = await loaded
    planned = planning.plan(parsed.clips, title=parsed.title, name=name)
    clips = tuple(_foreseen(planned, await _histories(archive, planned.distinct), retry))
    billed_seconds = sum(clip.billed_seconds for clip in clips)
    return Forecast(
        production=planned.name,
        title=planned.title,
        model=planned.model,
        archive=archive or None,
        billed_seconds=billed_seconds,
        cost=price and billed_seconds * price,
        clips=clips,
    )


async def _histories(archive: str, clips: Iterable[PlannedClip]) -> Mapping[str, ClipHistory]:
    store = await open_if_exists(archive) if archive else None
    return await clip_histories(store, [clip.fingerprint for clip in clips]) if store else {}


def _foreseen(
    planned: Plan, histories: Mapping[str, ClipHistory], retry: RetryPolicy
) -> Iterator[ForecastClip]:
    firsts = {clip.number for clip in planned.distinct}
    for clip in planned.clips:
        history = histories.get(clip.fingerprint, ClipHistory())
        action = _action(history, retry)
        is_bought = action is Action.make and clip.number in firsts
        yield ForecastClip(
            number=clip.number,
            name=clip.name,
            fingerprint=clip.fingerprint,
            action=action,
            images=tuple(map(ForecastImage.of, clip.images)),
            duration_seconds=clip.settings.duration,
            billed_seconds=clip.settings.duration if is_bought else 0,
            generation_id=history.decisive.generation_id or None if history.decisive else None,
            reason=_reason(history, action),
        )


def _action(history: ClipHistory, retry: RetryPolicy) -> Action:
    if history.status in {ClipStatus.failed, ClipStatus.not_submitted, ClipStatus.lost}:
        return Action.keep_failed if forbidding(history.attempts, retry) else Action.make
    if history.status is ClipStatus.unresolved and retry.on_unresolved == "resubmit":
        return Action.make
    return {
        ClipStatus.archived: Action.reuse,
        ClipStatus.not_archived: Action.archive,
        ClipStatus.in_flight: Action.wait,
        ClipStatus.submitting: Action.wait,
        ClipStatus.unresolved: Action.keep_unresolved,
        ClipStatus.unreadable: Action.keep_unreadable,
    }.get(history.status, Action.make)


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
    return None


def _rendered(forecast: Forecast) -> Iterator[RenderableType]:
    table = grid("#", "clip", "action", "billed")
    table.columns[0].justify = table.columns[3].justify = "right"
    for clip in forecast.clips:
        billed = f"{clip.billed_seconds} s" if clip.billed_seconds else ""
        table.add_row(f"{clip.number}", clip.name, Text(clip.action, _STYLES[clip.action]), billed)
    yield Text(f"{forecast.title}: {count(len(forecast.clips), 'clip')}\n", "bold")
    yield table
    yield from _changed(clip for clip in forecast.clips if clip.action is Action.make)
    for clip in forecast.clips:
        if clip.reason:
            yield Text(f"\n{clip.reason}", _STYLES[clip.action])
    yield Text(f"\n{_totals(forecast)}")


def _changed(clips: Iterable[ForecastClip]) -> Iterator[RenderableType]:
    """List the images that are changed before the API receives them."""
    images = dict.fromkeys(image for clip in clips for image in clip.images if image.changes)
    if not images:
        return
    table = grid("image", "size", "change")
    for image in images:
        made = f"{', '.join(image.changes)}, {image.sent_width}×{image.sent_height}"
        table.add_row(PurePath(image.source).name, f"{image.width}×{image.height}", made)
    yield Text()
    yield table


def _totals(forecast: Forecast) -> str:
    counts = ", ".join(f"{action} {number:,}" for action, number in forecast.counts.items())
    price = "" if forecast.cost is None else f", at a cost of {forecast.cost:,}"
    return f"{counts}. {forecast.billed_seconds:,} s of video would be billed{price}."
