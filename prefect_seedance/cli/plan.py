"""Show what a run would make, reuse and bill, without spending anything."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import App, Parameter

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.cli.archives import open_to_plan
from prefect_seedance.cli.balance import balance_if_known
from prefect_seedance.cli.errors import warn
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.forecast import Forecast, compared, foreseen, notices
from prefect_seedance.cli.forecast_view import rendered
from prefect_seedance.cli.options import PLAIN, Archive, Json, Name, ProduceOptions, Storyboard
from prefect_seedance.cli.printing import show
from prefect_seedance.clips.hosting_check import check_hosting
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.production.limits import cost_to_buy, price_of
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.survey import Survey, survey
from prefect_seedance.storyboard.drafts import EveryClip

app = App(name="plan", default_parameter=PLAIN)


_NOTHING: Final = "memory://nothing"
"""An empty archive, for a forecast without one."""


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
    show(*([forecast.model_dump_json(indent=2)] if json else rendered(forecast)))
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
        """Find out whether the API could fetch the files, as far as that shows before they are stored."""
        host, policy = found.host(), found.settings.credentials.host_policy
        files = found.files if self.archive else []
        try:
            await found.check_fetched_again()
            warnings = [
                await host.check(files),
                await check_hosting(host, files, policy, upload=False),
            ]
        except SetupError as error:
            if host.images_url or not any(file.is_local for file in files):
                return _Hosting(refusal=str(error))
            # A storyboard is planned before its files have a home.
            return _Hosting(warning=f"produce will refuse this: {error}")
        return _Hosting(warning="\n".join(filter(None, warnings)))


@dataclass(frozen=True, kw_only=True)
class _Hosting:
    """What speaks against the hosting of a run's files."""

    warning: str = ""
    refusal: str = ""
