"""Show what a run would make, reuse and bill, without spending anything."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.api.credentials import base_url_from_env
from prefect_seedance.cli.archives import open_archive, open_if_exists
from prefect_seedance.cli.balance import balance_if_known
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.forecast import Action, Forecast, ForecastClip, compared, foreseen, notices
from prefect_seedance.cli.options import (
    PLAIN,
    AllowHost,
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
from prefect_seedance.clips.history import ClipHistory, clip_histories
from prefect_seedance.errors import StoryboardError
from prefect_seedance.options import DEFAULT_MAX_SECONDS, Budget, Loading, RetryPolicy
from prefect_seedance.production.limits import cost_to_buy, other_owner, over_budget, seconds_to_buy
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard import plan as planning
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.plan import Plan

app = App(name="plan", default_parameter=PLAIN)


_STYLES: Mapping[Action, str] = {
    Action.make: "bold",
    Action.reuse: "green",
    Action.archive: "cyan",
    Action.wait: "cyan",
    Action.keep_unresolved: "bold yellow",
    Action.keep_unreadable: "bold red",
    Action.keep_failed: "red",
}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Everything that decides what a run would do, besides storyboard and archive."""

    loading: LoadingOptions = Loading()
    retry: RetryOptions = RetryPolicy()
    budget: BudgetOptions = Budget()
    price_per_second: Price = None
    model: Annotated[
        str, Parameter(help="Id of a model for all clips, to see what would change; nothing is stored.")
    ] = ""
    allow_host: AllowHost = ()


@app.default
def plan(
    storyboard: Storyboard,
    /,
    *,
    archive: Archive = "",
    name: Name = "",
    options: PlanOptions = PlanOptions(),
    json: Json = False,
) -> int:
    """Show what a run would make, reuse and bill, without spending anything.

    It needs no key and reads only the archive, so it does not know what the API has finished since. With a
    key in SEEDANCE_API_KEY, it also shows the balance. It ends with exit code 2 if a run would refuse the
    production.
    """
    forecast = asyncio.run(_Forecaster(archive=archive, options=options).compare(storyboard, name=name))
    show(*([forecast.model_dump_json(indent=2)] if json else _rendered(forecast)))
    return ExitCode.setup if forecast.refusals else 0


@dataclass(frozen=True, kw_only=True)
class _Forecaster:
    """Foresees what a run with these options would do."""

    archive: str
    options: PlanOptions

    async def compare(self, storyboard: str, *, name: str) -> Forecast:
        """Forecast a run, and compare it with one by the storyboard's own models if another replaces them."""
        forecast = await self.forecast(storyboard, name=name, model=self.options.model)
        if self.options.model:
            with suppress(StoryboardError):  # it may be valid for the other model only
                forecast = compared(forecast, await self.forecast(storyboard, name=name, model=""))
        return forecast.model_copy(update={"balance": await balance_if_known()})

    async def forecast(self, storyboard: str, *, name: str, model: str) -> Forecast:
        """Forecast a run, with all models replaced unless the name of the model is empty."""
        loading, retry, price = self.options.loading, self.options.retry, self.options.price_per_second
        parsed = await load_storyboard(
            storyboard,
            replace_model=model,
            prompt=loading.prompt,
            allow_outside=loading.allow_outside,
            policy=HostPolicy.of(base_url_from_env(), allow_hosts=self.options.allow_host),
            opener=open_archive,
        )
        planned = planning.plan(parsed.clips, title=parsed.title, name=name, model=model or parsed.model)
        store = await open_if_exists(self.archive) if self.archive else None
        known = await _histories(store, planned)
        billed_seconds = seconds_to_buy(planned, known, retry)
        refusals = (
            await other_owner(store, planned, is_named=bool(name)) if store else None,
            over_budget(billed_seconds, max_seconds=self._max_seconds),
        )
        return Forecast(
            production=planned.name,
            title=planned.title,
            model=planned.models,
            archive=self.archive or None,
            billed_seconds=billed_seconds,
            cost=cost_to_buy(planned, known, retry, price=price),
            clips=tuple(foreseen(planned, known, retry)),
            refusals=tuple(filter(None, refusals)),
            notices=tuple(notices(planned)),
        )

    @property
    def _max_seconds(self) -> int:
        limit = self.options.budget.max_seconds
        return DEFAULT_MAX_SECONDS if limit is None else limit


async def _histories(store: Store | None, planned: Plan) -> Mapping[str, ClipHistory]:
    return await clip_histories(store, [clip.fingerprint for clip in planned.distinct]) if store else {}


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
    yield from _remarks(forecast)
    for refusal in forecast.refusals:
        yield Text(f"\nA run would refuse this: {refusal}", "bold red")


def _remarks(forecast: Forecast) -> Iterator[RenderableType]:
    if forecast.instead_of:
        old, again = forecast.instead_of, forecast.instead_of.bought_again
        cost = "" if old.cost is None else f", at a cost of {old.cost:,}"
        yield Text(f"With the storyboard's own models, {old.billed_seconds:,} s would be billed{cost}.")
        if again:
            yield Text(f"Bought again although paid before: {', '.join(again)}.", "bold yellow")
    if forecast.balance is not None:
        yield Text(f"Balance: {forecast.balance:,} USD.")
    for notice in forecast.notices:
        yield Text(f"\n{notice}", "yellow")


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
