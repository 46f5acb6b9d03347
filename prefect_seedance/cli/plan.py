"""Show what a run would make, reuse and bill, without spending anything."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import PurePath
from typing import Self

from cyclopts import App
from pydantic import BaseModel, ConfigDict
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli.archives import open_archive, open_if_exists
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.options import (
    PLAIN,
    Archive,
    BudgetOptions,
    Json,
    LoadingOptions,
    Name,
    Price,
    RetryOptions,
    Storyboard,
)
from prefect_seedance.cli.printing import count, grid, show
from prefect_seedance.clips.history import ClipHistory, ClipStatus, clip_histories
from prefect_seedance.clips.retry import failure
from prefect_seedance.options import DEFAULT_MAX_SECONDS, Budget, Loading, RetryPolicy
from prefect_seedance.production.limits import other_owner, over_budget, seconds_to_buy
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard import plan as planning
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.plan import Plan

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
        refusals: Why a run would refuse the production, and the remedies; empty if it would not.
    """

    model_config = ConfigDict(frozen=True)

    production: str
    title: str
    model: str
    archive: str | None
    billed_seconds: int
    cost: Decimal | None
    clips: tuple[ForecastClip, ...]
    refusals: tuple[str, ...] = ()

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
    budget: BudgetOptions = Budget(),
    price_per_second: Price = None,
    json: Json = False,
) -> int:
    """Show what a run would make, reuse and bill, without spending anything.

    It needs no key and reads only the archive, so it does not know what the API has finished since. It ends
    with exit code 2 if a run would refuse the production.
    """
    forecaster = _Forecaster(archive=archive, retry=retry, budget=budget, price=price_per_second)
    forecast = asyncio.run(forecaster.forecast(storyboard, name=name, loading=loading))
    show(*([forecast.model_dump_json(indent=2)] if json else _rendered(forecast)))
    return ExitCode.setup if forecast.refusals else 0


@dataclass(frozen=True, kw_only=True)
class _Forecaster:
    """Foresees what a run with these options would do."""

    archive: str
    retry: RetryPolicy
    budget: Budget
    price: Decimal | None

    async def forecast(self, storyboard: str, *, name: str, loading: Loading) -> Forecast:
        parsed = await load_storyboard(
            storyboard, prompt=loading.prompt, allow_outside=loading.allow_outside, opener=open_archive
        )
        planned = planning.plan(parsed.clips, title=parsed.title, name=name)
        store = await open_if_exists(self.archive) if self.archive else None
        known = await _histories(store, planned)
        billed_seconds = seconds_to_buy(planned, known, self.retry)
        refusals = (
            await other_owner(store, planned, is_named=bool(name)) if store else None,
            over_budget(billed_seconds, max_seconds=self._max_seconds),
        )
        return Forecast(
            production=planned.name,
            title=planned.title,
            model=planned.model,
            archive=self.archive or None,
            billed_seconds=billed_seconds,
            cost=self.price and billed_seconds * self.price,
            clips=tuple(_foreseen(planned, known, self.retry)),
            refusals=tuple(filter(None, refusals)),
        )

    @property
    def _max_seconds(self) -> int:
        limit = self.budget.max_seconds
        return DEFAULT_MAX_SECONDS if limit is None else limit


async def _histories(store: Store | None, planned: Plan) -> Mapping[str, ClipHistory]:
    return await clip_histories(store, [clip.fingerprint for clip in planned.distinct]) if store else {}


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
    for refusal in forecast.refusals:
        yield Text(f"\nA run would refuse this: {refusal}", "bold red")


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
