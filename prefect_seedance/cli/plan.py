"""Say what a production would make, reuse and bill, without spending anything."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import PurePath
from typing import Self

from cyclopts import App
from pydantic import BaseModel, ConfigDict
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli import history as survey
from prefect_seedance.cli.history import ClipHistory, State
from prefect_seedance.cli.options import PLAIN, Archive, Json, Price, Source, Wanted
from prefect_seedance.cli.printing import count, grid, show
from prefect_seedance.clips.submit import RetryPolicy, failure
from prefect_seedance.storyboard import plan as planning
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.plan import Plan, PlannedClip

app = App(name="plan", default_parameter=PLAIN)


class Action(StrEnum):
    """What a production would do with a clip."""

    make = "make"
    reuse = "reuse"
    fetch = "fetch"
    """It is made and paid for, and not archived yet."""
    wait = "wait"
    """It is paid for and in flight."""
    unresolved = "unresolved"
    failed = "failed"


_WORDS: Mapping[Action, str] = {
    Action.make: "made",
    Action.reuse: "reused",
    Action.fetch: "fetched",
    Action.wait: "waited for",
    Action.unresolved: "left unresolved",
    Action.failed: "left failed",
}

_STYLES: Mapping[Action, str] = {
    Action.make: "bold",
    Action.reuse: "green",
    Action.fetch: "cyan",
    Action.wait: "cyan",
    Action.unresolved: "bold yellow",
    Action.failed: "red",
}


class ForecastImage(BaseModel):
    """What the API would get of one image.

    Attributes:
        width: In pixels, upright; None if the API fetches it from a URL of its own.
        changes: What is done to it first; nothing if the API gets the file byte for byte.
        sent_width: After that.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    width: int | None
    height: int | None
    changes: tuple[str, ...]
    sent_width: int | None
    sent_height: int | None

    @classmethod
    def of(cls, picture: SourceImage) -> Self:
        """Tell it of a clip's picture."""
        sent = picture.converted_size or (picture.width, picture.height)
        return cls(
            source=picture.source,
            width=picture.width,
            height=picture.height,
            changes=picture.changes,
            sent_width=sent[0],
            sent_height=sent[1],
        )


class ForecastClip(BaseModel):
    """What would become of one clip.

    Attributes:
        images: The first frame and the last, or fewer.
        billed_seconds: What making it would be billed.
        reason: Why it would not be made.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    name: str
    fingerprint: str
    will: Action
    images: tuple[ForecastImage, ...]
    duration_seconds: int
    billed_seconds: int
    generation_id: str | None
    reason: str | None


class Forecast(BaseModel):
    """What would become of a production.

    Attributes:
        archive: None if it was not said, and so every clip would be made.
        cost: Of the billed seconds, if the price of one is known.
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
        """How many clips would be treated how."""
        counts = Counter(clip.will for clip in self.clips)
        return {deed: counts[deed] for deed in Action if counts[deed]}


@app.default
def plan(
    storyboard: Source,
    /,
    *,
    archive: Archive = "",
    wanted: Wanted = Wanted(),
    price_per_second: Price = None,
    json: Json = False,
) -> int:
    """Say what would be made, reused and billed, without spending anything.

    It needs no key and asks the archive only, so what the API has finished meanwhile is not known.
    """
    forecast = asyncio.run(
        _forecast(storyboard, archive=archive, wanted=wanted, price_per_second=price_per_second)
    )
    show(*([forecast.model_dump_json(indent=2)] if json else _told(forecast)))
    return 0


async def _forecast(
    storyboard: str, *, archive: str, wanted: Wanted, price_per_second: Decimal | None
) -> Forecast:
    reading = await wanted.read(storyboard)
    planned = planning.plan(reading.clips, title=reading.title, name=wanted.name)
    clips = tuple(_foreseen(planned, await _recalled(archive, planned.distinct), policy=wanted.policy))
    billed_seconds = sum(clip.billed_seconds for clip in clips)
    return Forecast(
        production=planned.name,
        title=planned.title,
        model=planned.model,
        archive=archive or None,
        billed_seconds=billed_seconds,
        cost=price_per_second and billed_seconds * price_per_second,
        clips=clips,
    )


async def _recalled(archive: str, clips: Iterable[PlannedClip]) -> Mapping[str, ClipHistory]:
    store = await survey.existing(archive) if archive else None
    return await survey.recall(store, [clip.fingerprint for clip in clips]) if store else {}


def _foreseen(
    planned: Plan, memories: Mapping[str, ClipHistory], *, policy: RetryPolicy
) -> Iterator[ForecastClip]:
    firsts = {clip.number for clip in planned.distinct}
    for clip in planned.clips:
        memory = memories.get(clip.fingerprint, ClipHistory())
        deed = _deed(memory, policy)
        bought = deed is Action.make and clip.number in firsts
        yield ForecastClip(
            number=clip.number,
            name=clip.name,
            fingerprint=clip.fingerprint,
            will=deed,
            images=tuple(map(ForecastImage.of, clip.images)),
            duration_seconds=clip.settings.duration,
            billed_seconds=clip.settings.duration if bought else 0,
            generation_id=memory.last.generation_id or None if memory.last else None,
            reason=_reason(memory, deed),
        )


def _deed(memory: ClipHistory, policy: RetryPolicy) -> Action:
    outcome = memory.last and memory.last.outcome
    if outcome and memory.state in {State.failed, State.not_started, State.lost}:
        return Action.make if policy.permits_after(outcome) else Action.failed
    if memory.state is State.unresolved and policy.resubmit_unresolved:
        return Action.make
    return {
        State.archived: Action.reuse,
        State.made: Action.fetch,
        State.in_flight: Action.wait,
        State.being_asked: Action.wait,
        State.unresolved: Action.unresolved,
    }.get(memory.state, Action.make)


def _reason(memory: ClipHistory, deed: Action) -> str | None:
    last = memory.last
    if deed is Action.failed and last and last.outcome:
        return str(failure(last.intent.name, last.outcome))
    if deed is Action.unresolved and last:
        return f"asked for by {last.intent.asked_by}, and no answer is recorded: it may be paid for already"
    return None


def _told(forecast: Forecast) -> Iterator[RenderableType]:
    table = grid("#", "clip", "would be", "billed")
    table.columns[0].justify = table.columns[3].justify = "right"
    for clip in forecast.clips:
        billed = f"{clip.billed_seconds} s" if clip.billed_seconds else ""
        table.add_row(f"{clip.number}", clip.name, Text(_WORDS[clip.will], _STYLES[clip.will]), billed)
    yield Text(f"{forecast.title}: {count(len(forecast.clips), 'clip')}\n", "bold")
    yield table
    yield from _changed(clip for clip in forecast.clips if clip.will is Action.make)
    for clip in forecast.clips:
        if clip.reason:
            yield Text(f"\n{clip.reason}", _STYLES[clip.will])
    yield Text(f"\n{_sum(forecast)}")


def _changed(clips: Iterable[ForecastClip]) -> Iterator[RenderableType]:
    """List the images that the API would not get as they are."""
    images = dict.fromkeys(image for clip in clips for image in clip.images if image.changes)
    if not images:
        return
    table = grid("image", "is", "would be")
    for image in images:
        made = f"{', '.join(image.changes)}, {image.sent_width}×{image.sent_height}"
        table.add_row(PurePath(image.source).name, f"{image.width}×{image.height}", made)
    yield Text()
    yield table


def _sum(forecast: Forecast) -> str:
    counts = ", ".join(f"{number:,} {_WORDS[deed]}" for deed, number in forecast.counts.items())
    price = "" if forecast.cost is None else f", which costs {forecast.cost:,}"
    return f"{counts}. {forecast.billed_seconds:,} s of video would be billed{price}."
