"""Show what a run would make, reuse and bill, without spending anything."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.api.credentials import base_url_from_env
from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.proxies import check_proxies
from prefect_seedance.api.urls import shown_url
from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.cli.archives import open_archive, open_if_exists
from prefect_seedance.cli.balance import balance_if_known
from prefect_seedance.cli.errors import warn
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.forecast import Action, Forecast, ForecastClip, compared, foreseen, notices
from prefect_seedance.cli.options import (
    PLAIN,
    AllowHost,
    Archive,
    BudgetOptions,
    HostingOptions,
    Json,
    LoadingOptions,
    Name,
    Price,
    RetryOptions,
    Storyboard,
)
from prefect_seedance.cli.printing import count, grid, show
from prefect_seedance.clips.former import with_former_fingerprints
from prefect_seedance.clips.history import ClipHistory, clip_histories
from prefect_seedance.clips.image_hosting import ImageHost
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.options import DEFAULT_MAX_SECONDS, Budget, Hosting, Loading, RetryPolicy
from prefect_seedance.production.limits import cost_to_buy, other_owner, over_budget, seconds_to_buy
from prefect_seedance.storage.hard_links import check_hard_links
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard import plan as planning
from prefect_seedance.storyboard.drafts import EveryClip
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.plan import Plan, PlannedClip

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

_RESULTS: Mapping[Action, str] = {
    Action.make: "made",
    Action.reuse: "reused",
    Action.archive: "archived",
    Action.wait: "awaited",
    Action.keep_unresolved: "left unresolved",
    Action.keep_unreadable: "left unreadable",
    Action.keep_failed: "left failed",
}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Everything that decides what a run would do, besides storyboard and archive."""

    loading: LoadingOptions = Loading()
    hosting: HostingOptions = Hosting()
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
    if forecast.warning:
        warn(forecast.warning)
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
        base_url = base_url_from_env()
        check_proxies(base_url)
        parsed = await load_storyboard(
            storyboard,
            model=EveryClip(model) if model else DEFAULT_MODEL,
            defaults=loading.defaults,
            allow_outside=loading.allow_outside,
            policy=HostPolicy.of(base_url, allow_hosts=self.options.allow_host),
            opener=open_archive,
        )
        planned = planning.plan(parsed.clips, title=parsed.title, name=name, model=model or parsed.model)
        store = await open_if_exists(self.archive) if self.archive else None
        await _check_folder(self.archive, store)
        if store:
            planned = await with_former_fingerprints(planned, store)
        known = await _histories(store, planned)
        bought = [clip for clip in planned.distinct if clip.fingerprint not in _archived(known)]
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
            warning="\n".join(filter(None, (parsed.note, await self._hosting_problem(store, bought)))),
            refusals=tuple(filter(None, refusals)),
            notices=tuple(notices(planned)),
        )

    async def _hosting_problem(self, store: Store | None, clips: Iterable[PlannedClip]) -> str:
        """Return why the API could not fetch the local images, as far as an archive was given."""
        files = [file for clip in clips for file in clip.sources if file.is_local]
        hosting = self.options.hosting
        if not files or not self.archive or hosting.images_url:
            return ""
        if store is None:
            return (
                "The API cannot fetch local files from a folder. Before produce, archive to a bucket, or "
                "set --images-url to the public URL of the archive's images folder"
            )
        lifetime_seconds = hosting.images_lifetime_seconds
        host = ImageHost(store=store, objects=Objects(open_archive), lifetime_seconds=lifetime_seconds)
        try:
            return await host.check(files)
        except SetupError as error:
            return str(error)

    @property
    def _max_seconds(self) -> int:
        limit = self.options.budget.max_seconds
        return DEFAULT_MAX_SECONDS if limit is None else limit


async def _check_folder(archive: str, store: Store | None) -> None:
    """Check what a run would require of a folder, also of one that it would create.

    Raises:
        SetupError: If a run could not create records in it.
    """
    if store:
        await store.check_folder()
    elif archive:
        await asyncio.to_thread(check_hard_links, Path(archive))


def _archived(known: Mapping[str, ClipHistory]) -> set[str]:
    return {fingerprint for fingerprint, history in known.items() if history.clip}


async def _histories(store: Store | None, planned: Plan) -> Mapping[str, ClipHistory]:
    return await clip_histories(store, [clip.fingerprint for clip in planned.distinct]) if store else {}


def _rendered(forecast: Forecast) -> Iterator[RenderableType]:
    is_mixed = len({clip.model for clip in forecast.clips}) > 1
    settings = [
        f"{_settings(clip.settings)}{f', {clip.model}' if is_mixed else ''}" for clip in forecast.clips
    ]
    is_equal = len(set(settings)) == 1
    table = grid("#", "clip", "action", "billed", *([] if is_equal else ["settings"]))
    table.columns[0].justify = table.columns[3].justify = "right"
    for clip, shown in zip(forecast.clips, settings, strict=True):
        billed = f"{clip.billed_seconds} s" if clip.billed_seconds else ""
        others = [] if is_equal else [shown]
        table.add_row(f"{clip.number}", clip.name, Text(clip.action, _STYLES[clip.action]), billed, *others)
    of_all = f" of {settings[0]}" if is_equal else ""
    yield Text(f"{forecast.title}: {count(len(forecast.clips), 'clip')}{of_all}\n", "bold")
    yield table
    made = [clip for clip in forecast.clips if clip.action is Action.make]
    yield from _changed(made)
    yield from _media(made)
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


def _settings(settings: ClipSettings) -> str:
    """Return the settings of a clip in words."""
    lens = ", fixed lens" if settings.fixed_lens else ""
    search = ", web search" if settings.web_search else ""
    sound = "with sound" if settings.sound else "silent"
    return f"{settings.duration} s, {settings.resolution}, {settings.aspect_ratio}, {sound}{lens}{search}"


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


def _media(clips: Iterable[ForecastClip]) -> Iterator[RenderableType]:
    """List the videos and audio files that clips refer to."""
    files = dict.fromkeys(file for clip in clips for file in (*clip.videos, *clip.audios))
    if not files:
        return
    table = grid("reference", "format", "length", "size")
    for file in files:
        name = PurePath(file.source).name if file.format else shown_url(file.source)
        length = "" if file.duration_seconds is None else f"{file.duration_seconds:.1f} s"
        table.add_row(name, file.format or "", length, f"{file.width}×{file.height}" if file.width else "")
    yield Text()
    yield table


def _totals(forecast: Forecast) -> str:
    counts = ", ".join(f"{number:,} {_RESULTS[action]}" for action, number in forecast.counts.items())
    price = "" if forecast.cost is None else f", at a cost of {forecast.cost:,}"
    return f"{counts}. {forecast.billed_seconds:,} s of video would be billed{price}."
