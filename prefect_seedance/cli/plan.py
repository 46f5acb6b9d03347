"""Show what a run would make, reuse and bill, without spending anything."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from prefect_seedance import options as texts
from prefect_seedance.api.proxies import check_proxies
from prefect_seedance.cli.archives import open_archive, open_if_exists
from prefect_seedance.cli.errors import warn
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.forecast import Forecast, compared, foreseen, notices
from prefect_seedance.cli.forecast_view import rendered
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
from prefect_seedance.cli.plan_account import PlanAccount
from prefect_seedance.cli.printing import show
from prefect_seedance.clips.former import with_former_fingerprints
from prefect_seedance.clips.history import ClipHistory, clip_histories
from prefect_seedance.clips.image_hosting import ImageHost
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.options import Budget, Hosting, Loading, RetryPolicy, help_text
from prefect_seedance.production.limits import cost_to_buy, other_owner, over_budget, seconds_to_buy
from prefect_seedance.storage.hard_links import check_hard_links
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard import plan as planning
from prefect_seedance.storyboard.drafts import EveryClip
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.plan import Plan, PlannedClip

app = App(name="plan", default_parameter=PLAIN)


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
    credentials: Annotated[
        str, Parameter(help=f"{help_text(texts.CredentialsName)} Its model, limits and price count.")
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
    key in SEEDANCE_API_KEY, or with --credentials, it also shows the balance. It ends with exit code 2 if a
    run would refuse the production.
    """
    forecast = asyncio.run(_forecast(storyboard, archive, name=name, options=options))
    if forecast.warning:
        warn(forecast.warning)
    show(*([forecast.model_dump_json(indent=2)] if json else rendered(forecast)))
    return ExitCode.setup if forecast.refusals else 0


async def _forecast(storyboard: str, archive: str, *, name: str, options: PlanOptions) -> Forecast:
    account = await PlanAccount.find(options.credentials, allow_hosts=options.allow_host)
    check_proxies(account.base_url)
    return await _Forecaster(archive=archive, options=options, account=account).compare(storyboard, name=name)


@dataclass(frozen=True, kw_only=True)
class _Forecaster:
    """Foresees what a run with these options would do."""

    archive: str
    options: PlanOptions
    account: PlanAccount

    async def compare(self, storyboard: str, *, name: str) -> Forecast:
        """Forecast a run, and compare it with one by the storyboard's own models if another replaces them."""
        forecast = await self.forecast(storyboard, name=name, model=self.options.model)
        if self.options.model:
            with suppress(StoryboardError):  # it may be valid for the other model only
                forecast = compared(forecast, await self.forecast(storyboard, name=name, model=""))
        return forecast.model_copy(update={"balance": await self.account.balance()})

    async def forecast(self, storyboard: str, *, name: str, model: str) -> Forecast:
        """Forecast a run, with all models replaced unless the name of the model is empty."""
        loading, retry, price = self.options.loading, self.options.retry, self.options.price_per_second
        account = self.account
        parsed = await load_storyboard(
            storyboard,
            model=EveryClip(model) if model else account.model,
            defaults=loading.defaults,
            allow_outside=loading.allow_outside,
            policy=account.host_policy,
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
            cost=cost_to_buy(
                planned,
                known,
                retry,
                price=account.price_per_second if price is None else price,
                provider=account.provider,
            ),
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
        return self.account.max_seconds if limit is None else limit


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
