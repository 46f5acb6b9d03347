"""Make a catalogue: one run of a deployment for each storyboard that is not complete."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from prefect.exceptions import ParameterTypeError
from prefect.flows import Flow

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.clips.supervision import supervise
from prefect_seedance.errors import SeedanceError, SetupError
from prefect_seedance.orchestration import artifacts
from prefect_seedance.orchestration.blocks import find_credentials, open_archive
from prefect_seedance.orchestration.cancellation import cancel_on_signal
from prefect_seedance.orchestration.child_runs import ChildRuns, Ended
from prefect_seedance.orchestration.deploy import Target
from prefect_seedance.printable import get_logger
from prefect_seedance.production.catalog import Surveyed, Surveyor
from prefect_seedance.production.catalog_options import CatalogOptions
from prefect_seedance.production.limits import over_budget
from prefect_seedance.production.session import archive_from_env
from prefect_seedance.report.catalog import CatalogEntry, CatalogManifest, CatalogStatus, record_catalog
from prefect_seedance.report.manifest import Manifest, find_manifest
from prefect_seedance.report.verdict import Verdict
from prefect_seedance.storage.locations import Location
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.catalog import Catalog, CatalogItem, read_catalog
from prefect_seedance.storyboard.plan import key_name

_STATUSES: Mapping[Verdict, CatalogStatus] = {
    Verdict.complete: CatalogStatus.made,
    Verdict.in_flight: CatalogStatus.in_flight,
    Verdict.unresolved: CatalogStatus.unresolved,
}

_log = get_logger(__name__)


async def make_catalog(
    catalog: Catalog,
    options: CatalogOptions,
    *,
    child: Flow[..., Any],
    archive: str = "",
    parameters: Mapping[str, Any] = MappingProxyType({}),
    is_dry: bool = False,
) -> CatalogManifest:
    """Run a deployment for each storyboard of a catalogue that is not complete, and return the account.

    A run that fails affects no others. Making the catalogue again continues it.

    Args:
        catalog: Where its storyboards are.
        options: How to make them.
        child: The flow of the deployment, which checks parameters.
        archive: Of all productions. Default: the environment's ``SEEDANCE_ARCHIVE``.
        parameters: Of all runs.
        is_dry: Whether to start no runs.

    Raises:
        SetupError: If account, archive or deployment are wrong, or the runs would buy more than they may;
            nothing was spent.
        StoryboardError: If there are no storyboards, or the CSV file has mistakes; nothing was spent.
    """
    began_at, deadline = datetime.now(UTC), asyncio.get_running_loop().time() + options.deadline_seconds
    archive = Target().locate(archive or archive_from_env())
    if options.credentials:
        parameters = {**parameters, "credentials": options.credentials}

    async def make() -> CatalogManifest:
        store = await open_archive(archive)
        items = await read_catalog(catalog, objects=Objects(open_archive))
        name = options.name or _name_of(catalog)
        async with ChildRuns.open(options.deployment, catalog=key_name(name)) as runs:
            common = {**runs.parameters, "archive": archive, **parameters}
            surveyed = await _survey(items, store, options, child=child, parameters=common, archive=archive)
            work = CatalogRun(store=store, runs=runs, deadline=deadline, is_dry=is_dry)
            try:
                await work.run(surveyed, at_a_time=options.at_a_time)
            finally:
                manifest = CatalogManifest(
                    catalog=key_name(name),
                    title=name,
                    archive=store.url,
                    began_at=began_at,
                    ended_at=datetime.now(UTC),
                    entries=tuple(work.entry(each) for each in surveyed),
                )
                if not is_dry:
                    await supervise(_record(manifest, store))
        return manifest

    return await cancel_on_signal(make())


async def _survey(
    items: Sequence[CatalogItem],
    store: Store,
    options: CatalogOptions,
    *,
    child: Flow[..., Any],
    parameters: Mapping[str, Any],
    archive: str,
) -> Sequence[Surveyed]:
    """Find out which storyboards need a run, and refuse to buy too much."""
    account = await find_credentials(options.credentials)
    _typed(parameters, child, archive=archive)
    surveyor = Surveyor(
        store=store,
        credentials=account,
        open_archive=open_archive,
        parameters=parameters,
        typed=partial(_typed, child=child, archive=archive),
    )
    surveyed = await surveyor.survey(items)
    _check_budget(surveyed, account, options)
    return surveyed


async def _record(manifest: CatalogManifest, store: Store) -> None:
    try:
        page = await record_catalog(manifest, store)
    except SeedanceError:  # the productions are stored, and the next run accounts for them
        _log.exception("Could not store the manifest of the catalogue %s", manifest.catalog)
        return
    await artifacts.show_catalog(manifest, page=page, store=store)


def _name_of(catalog: Catalog) -> str:
    """Return the last part of a path or location without its suffix."""
    if not isinstance(catalog, str):
        return "catalogue"
    location = Location.parse(catalog)
    last = location.name if location else catalog.rstrip("/").rpartition("/")[2]
    return last.rpartition("://")[2].rsplit(".", 1)[0] if last.strip(".") else "catalogue"


def _typed(parameters: Mapping[str, Any], child: Flow[..., Any], *, archive: str) -> Mapping[str, Any]:
    """Return the parameters of a run as its flow understands them.

    Raises:
        SetupError: If the flow does not accept them.
    """
    if parameters["archive"] != archive:
        raise SetupError("all storyboards of a catalogue have one archive; leave out the parameter archive")
    known = child.parameters.properties
    if unknown := [name for name in parameters if name not in known]:
        raise SetupError(
            f"the flow {child.name} has no parameter {', '.join(map(repr, unknown))}; "
            f"it has {', '.join(known)}"
        )
    try:
        checked = child.validate_parameters({"storyboard": "", **parameters})
    except ParameterTypeError as error:
        raise SetupError(str(error)) from None
    return {name: checked[name] for name in parameters}


def _check_budget(surveyed: Sequence[Surveyed], account: Credentials, options: CatalogOptions) -> None:
    """Refuse to buy too much; a clip of several storyboards is bought once."""
    buys = {clip: seconds for each in surveyed if not each.problem for clip, seconds in each.buys.items()}
    limit = account.max_seconds if options.max_seconds is None else options.max_seconds
    if refusal := over_budget(sum(buys.values()), max_seconds=limit):
        raise SetupError(refusal)


@dataclass(kw_only=True)
class CatalogRun:
    """One run of a catalogue.

    Attributes:
        deadline: By the event loop's clock.
        entries: The storyboards that have ended; two may have one source, with other parameters.
    """

    store: Store
    runs: ChildRuns
    deadline: float
    is_dry: bool
    entries: dict[int, CatalogEntry] = field(default_factory=dict)

    async def run(self, surveyed: Sequence[Surveyed], *, at_a_time: int) -> None:
        """Run the storyboards that are not complete, in order, until the deadline."""
        left = iter([each for each in surveyed if not each.is_complete and not each.problem])

        async def work() -> None:
            for each in left:  # shared by all workers
                self.entries[id(each)] = await self._make(each)

        if not self.is_dry:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self.deadline), asyncio.TaskGroup() as group:
                    for _ in range(at_a_time):
                        group.create_task(work())

    def entry(self, surveyed: Surveyed) -> CatalogEntry:
        """Return the entry of a storyboard, whether or not its run has ended."""
        if found := self.entries.get(id(surveyed)):
            return found
        if surveyed.problem:
            return _entry(surveyed, CatalogStatus.invalid, reason=surveyed.problem)
        if surveyed.is_complete:
            return _entry(surveyed, CatalogStatus.complete)
        seconds = sum(surveyed.buys.values())
        reason = f"Its run would buy {seconds:,} s of video" if self.is_dry else "Run the catalogue again"
        return _entry(surveyed, CatalogStatus.not_run, reason=reason)

    async def _make(self, surveyed: Surveyed) -> CatalogEntry:
        """Run the deployment for one storyboard; whatever happens becomes its entry."""
        plan, source = surveyed.plan, surveyed.item.storyboard
        try:
            ended = await self.runs.run(source, surveyed.parameters, title=plan.title if plan else source)
        except Exception as error:  # noqa: BLE001 -- one storyboard does not stop the others
            if not isinstance(error, SetupError):
                _log.exception("The run of %s failed unexpectedly", source)
            return _entry(surveyed, CatalogStatus.failed, reason=str(error))
        manifest = await find_manifest(self.store, plan.name) if plan else None
        is_new = manifest and manifest != surveyed.manifest
        return _ended_entry(surveyed, ended, manifest if is_new else None)


def _ended_entry(surveyed: Surveyed, ended: Ended, manifest: Manifest | None) -> CatalogEntry:
    """Return the entry of a storyboard whose run has ended, with its manifest if it stored one."""
    run = {"flow_run_id": str(ended.flow_run_id), "flow_run_url": ended.url}
    if manifest is None:
        status = CatalogStatus.made if ended.is_completed else CatalogStatus.failed
        reason = None if ended.is_completed else ended.message
        return _entry(surveyed, status, reason=reason).model_copy(update=run)
    status = _STATUSES.get(manifest.verdict, CatalogStatus.failed)
    if status is CatalogStatus.made and not ended.is_completed:
        status = CatalogStatus.failed  # for example, it was cancelled while it made the film
    figures = {
        "archived": sum(entry.clip is not None for entry in manifest.clips),
        "billed_seconds": manifest.billed_seconds,
    }
    reason = None if status is CatalogStatus.made else ended.message
    return _entry(surveyed, status, reason=reason).model_copy(update={**run, **figures})


def _entry(surveyed: Surveyed, status: CatalogStatus, *, reason: str | None = None) -> CatalogEntry:
    plan = surveyed.plan
    return CatalogEntry(
        storyboard=surveyed.item.storyboard,
        status=status,
        title=plan.title if plan else "",
        production=plan.name if plan else "",
        clips=len(plan.clips) if plan else 0,
        archived=surveyed.archived,
        reason=reason,
    )
