"""Make a catalogue: one run of a deployment for each storyboard that is not complete."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from prefect.exceptions import ParameterTypeError
from prefect.flows import Flow

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.clips.supervision import supervise
from prefect_seedance.errors import BudgetError, SeedanceError, SetupError
from prefect_seedance.orchestration import artifacts, events, run_events
from prefect_seedance.orchestration.blocks import find_credentials, open_archive
from prefect_seedance.orchestration.cancellation import cancel_on_signal
from prefect_seedance.orchestration.catalog_run import CatalogRun
from prefect_seedance.orchestration.child_runs import ChildRuns
from prefect_seedance.printable import get_logger
from prefect_seedance.production.catalog import Surveyed, Surveyor
from prefect_seedance.production.catalog_options import CatalogOptions
from prefect_seedance.production.limits import over_budget
from prefect_seedance.production.session import OpenArchive, archive_from_env
from prefect_seedance.report.catalog import CatalogManifest, catalog_key, record_catalog
from prefect_seedance.storage.locations import Location, absolute
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.catalog import Catalog, read_catalog, shown_source
from prefect_seedance.storyboard.plan import key_name

_NOUNS: Mapping[str, str] = {"archive": "archive", "credentials": "account"}
"""Parameters that all runs of a catalogue have in common, and what they name."""

_log = get_logger(__name__)


async def make_catalog(
    catalog: Catalog,
    options: CatalogOptions,
    *,
    child: Flow[..., Any],
    archive: str = "",
    parameters: Mapping[str, Any] = MappingProxyType({}),
    is_dry: bool = False,
    opener: OpenArchive = open_archive,
) -> CatalogManifest:
    """Run a deployment for each storyboard of a catalogue that is not complete, and return the account.

    A run that fails affects no others. Making the catalogue again continues it.

    Args:
        catalog: Where its storyboards are.
        options: How to make them.
        child: The flow of the deployment, which checks parameters.
        archive: Of all productions. Default: the environment's ``SEEDANCE_ARCHIVE``.
        parameters: Of all runs.
        is_dry: Whether to start no runs; the manifest then has the refusal of too large a purchase.
        opener: Opens the archive.

    Raises:
        SetupError: If account, archive or deployment are wrong; nothing was spent.
        BudgetError: If the runs would buy more than they may; nothing was spent.
        StoryboardError: If there are no storyboards, or the CSV file has mistakes; nothing was spent.
    """
    began_at, deadline = datetime.now(UTC), asyncio.get_running_loop().time() + options.deadline_seconds
    archive = absolute(archive or archive_from_env(), directory=Path.cwd())
    if options.credentials:
        parameters = {**parameters, "credentials": options.credentials}

    async def make() -> CatalogManifest:
        store = await opener(archive)
        items = await read_catalog(catalog, objects=Objects(opener))
        name = options.name or _name_of(catalog)
        async with ChildRuns.open(options.deployment, catalog=key_name(name)) as runs:
            common = {**runs.parameters, "archive": archive, **parameters}
            surveyor = await _surveyor(store, common, child=child, archive=archive, opener=opener)
            surveyed = await surveyor.survey(items)
            refusal = _refusal(surveyed, surveyor.credentials, options)
            if refusal and not is_dry:
                events.budget_exceeded(refusal, surveyor.credentials)
                raise BudgetError(refusal)
            work = CatalogRun(store=store, runs=runs, deadline=deadline, is_dry=is_dry)
            try:
                await work.run(surveyed, at_a_time=options.at_a_time)
            finally:
                manifest = work.manifest(surveyed, title=name, began_at=began_at, refusal=refusal)
                if not is_dry:
                    await supervise(_record(manifest, store))
        return manifest

    return await cancel_on_signal(make())


async def _surveyor(
    store: Store,
    parameters: Mapping[str, Any],
    *,
    child: Flow[..., Any],
    archive: str,
    opener: OpenArchive,
) -> Surveyor:
    """Find the account, check the parameters that all runs have in common, and return a surveyor for them."""
    shared = {"archive": archive, "credentials": parameters.get("credentials") or ""}
    account = await find_credentials(shared["credentials"])
    typed = partial(_typed, child=child, shared=shared)
    typed(parameters)
    return Surveyor(store=store, credentials=account, open_archive=opener, parameters=parameters, typed=typed)


async def _record(manifest: CatalogManifest, store: Store) -> None:
    links: dict[str, str] = {}
    try:
        page = await record_catalog(manifest, store)
        keys = {"manifest": catalog_key(manifest.catalog, "manifest.json"), "page": page}
        links = {name: store.link(key) for name, key in keys.items()}
        await artifacts.show_catalog(manifest, page=page, store=store)
    except SeedanceError:  # the productions are stored, and the next run accounts for them
        _log.exception("Could not store the manifest of the catalogue %s", manifest.catalog)
    run_events.catalog_ended(manifest, links=links)


def _name_of(catalog: Catalog) -> str:
    """Return the last part of a path or location without its suffix."""
    if not isinstance(catalog, str):
        return "catalogue"
    location, shown = Location.parse(catalog), shown_source(catalog)
    last = location.name if location else shown.rstrip("/").rpartition("/")[2]
    return last.rpartition("://")[2].rsplit(".", 1)[0] if last.strip(".") else "catalogue"


def _typed(
    parameters: Mapping[str, Any], child: Flow[..., Any], *, shared: Mapping[str, str]
) -> Mapping[str, Any]:
    """Return the parameters of a run as its flow understands them.

    Args:
        parameters: Values, or text from a file.
        child: The flow.
        shared: Archive and account of the catalogue. Another one would be neither surveyed nor within its
            budget.

    Raises:
        SetupError: If the flow does not accept them.
    """
    for name, value in shared.items():
        if (parameters.get(name) or "") != value:
            raise SetupError(
                f"all storyboards of a catalogue have one {_NOUNS[name]}; leave out the parameter {name}"
            )
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


def _refusal(surveyed: Sequence[Surveyed], account: Credentials, options: CatalogOptions) -> str | None:
    """Return why the runs may not buy so much; a clip of several storyboards is bought once."""
    buys = {clip: seconds for each in surveyed if not each.problem for clip, seconds in each.buys.items()}
    limit = account.max_seconds if options.max_seconds is None else options.max_seconds
    return over_budget(sum(buys.values()), max_seconds=limit)
