"""Show what a run would make, reuse and bill, without spending anything."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.cli.archives import open_to_plan
from prefect_seedance.cli.balance import balance_if_known
from prefect_seedance.cli.errors import warn
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.forecast import Action, Forecast, ForecastClip, compared, foreseen, notices
from prefect_seedance.cli.options import PLAIN, Archive, Json, Name, ProduceOptions, Storyboard
from prefect_seedance.cli.printing import count, grid, show
from prefect_seedance.clips.hosting_check import check_hosting
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.production.limits import cost_to_buy, price_of
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.survey import Survey, survey
from prefect_seedance.storyboard.drafts import EveryClip

app = App(name="plan", default_parameter=PLAIN)


_NOTHING: Final = "memory://nothing"
"""An empty archive, for a forecast without one."""

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


@app.default
def plan(
    storyboard: Storyboard,
    /,
    *,
    archive: Archive = "",
    name: Name = "",
    options: ProduceOptions = ProduceOptions(),
    model: Annotated[
        str, Parameter(help="Id of a model for all clips, to see what would change; nothing is stored.")
    ] = "",
    json: Json = False,
) -> int:
    """Show what a run would make, reuse and bill, without spending anything.

    It accepts the options of produce, makes the same checks, and writes nothing. It needs no key and reads
    only the archive, so it does not know what the API has finished since. With a key, it also shows the
    balance. It ends with exit code 2 if a run would refuse the production.
    """
    forecast = asyncio.run(
        _Forecaster(archive=archive, name=name, options=options).compare(storyboard, model)
    )
    if forecast.warning:
        warn(forecast.warning)
    show(*([forecast.model_dump_json(indent=2)] if json else _rendered(forecast)))
    return ExitCode.setup if forecast.refusals else 0


@dataclass(frozen=True, kw_only=True)
class _Forecaster:
    """Foresees what a run with these options would do."""

    archive: str
    name: str
    options: ProduceOptions

    async def compare(self, storyboard: str, model: str) -> Forecast:
        """Forecast a run, and compare it with one by the storyboard's own models if another replaces them."""
        credentials, missing = await self.options.account.find_or_keyless()
        forecast = await self.forecast(storyboard, credentials, model=model)
        if model:
            with suppress(StoryboardError):  # it may be valid for the other model only
                forecast = compared(forecast, await self.forecast(storyboard, credentials, model=""))
        if missing and self.archive:
            warning = "\n".join(filter(None, (forecast.warning, f"produce will refuse this: {missing}")))
            return forecast.model_copy(update={"warning": warning})
        balance = None if missing else await balance_if_known(credentials)
        return forecast.model_copy(update={"balance": balance})

    async def forecast(self, storyboard: str, credentials: Credentials, *, model: str) -> Forecast:
        """Forecast a run, with all models replaced unless the name of the model is empty."""
        options = self.options
        settings = RunSettings(
            credentials=credentials,
            archive=self.archive or _NOTHING,
            hosting=options.hosting,
            retry=options.retry,
            budget=options.budget,
            waiting=options.waiting,
        )
        found = await survey(
            storyboard,
            settings,
            name=self.name,
            loading=options.loading,
            model=EveryClip(model) if model else "",
            checks_machine=bool(self.archive),
            all_attempts=True,
            open_archive=open_to_plan,
        )
        has_key = bool(credentials.api_key.get_secret_value())
        refusals = await found.refusals(is_named=bool(self.name), has_key=has_key)
        hosting = await self._hosting(found)
        cost = cost_to_buy(
            found.plan,
            found.known,
            options.retry,
            price=price_of(options.output, credentials),
            provider=credentials.provider,
        )
        return Forecast(
            production=found.plan.name,
            title=found.plan.title,
            model=found.plan.models,
            archive=self.archive or None,
            billed_seconds=found.billed_seconds,
            cost=cost,
            clips=tuple(foreseen(found.plan, found.known, options.retry)),
            warning="\n".join(filter(None, (found.storyboard.note, hosting.warning))),
            refusals=(*refusals, *filter(None, [hosting.refusal])),
            notices=tuple(notices(found.plan)),
        )

    async def _hosting(self, found: Survey) -> "_Hosting":
        """Find out whether the API could fetch the images, as far as that shows before they are stored."""
        host, policy = found.host(), found.settings.credentials.host_policy
        images = found.images if self.archive else []
        try:
            await found.check_fetched_again()
            warnings = [
                await host.check(images),
                await check_hosting(host, images, policy, upload=False),
            ]
        except SetupError as error:
            if host.images_url or not any(image.is_local for image in images):
                return _Hosting(refusal=str(error))
            # A storyboard is planned before its images have a home.
            return _Hosting(warning=f"produce will refuse this: {error}")
        return _Hosting(warning="\n".join(filter(None, warnings)))


@dataclass(frozen=True, kw_only=True)
class _Hosting:
    """What speaks against the hosting of a run's images."""

    warning: str = ""
    refusal: str = ""


def _rendered(forecast: Forecast) -> Iterator[RenderableType]:
    settings = [_settings(clip.settings) for clip in forecast.clips]
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


def _settings(settings: ClipSettings) -> str:
    """Return the settings of a clip in words."""
    lens = ", fixed lens" if settings.fixed_lens else ""
    sound = "with sound" if settings.sound else "silent"
    return f"{settings.duration} s, {settings.resolution}, {settings.aspect_ratio}, {sound}{lens}"


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
    counts = ", ".join(f"{number:,} {_RESULTS[action]}" for action, number in forecast.counts.items())
    price = "" if forecast.cost is None else f", at a cost of {forecast.cost:,}"
    return f"{counts}. {forecast.billed_seconds:,} s of video would be billed{price}."
