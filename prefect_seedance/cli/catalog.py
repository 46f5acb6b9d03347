"""Make many storyboards on the workers of a Prefect server."""

import asyncio
import json as jsons
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli.archives import open_to_plan
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.options import PLAIN, Archive, Json, Verbose
from prefect_seedance.cli.prefect_settings import configures_server
from prefect_seedance.cli.printing import grid, show
from prefect_seedance.cli.produce import configure_logs
from prefect_seedance.errors import SetupError
from prefect_seedance.options import help_text
from prefect_seedance.printable import one_line
from prefect_seedance.production.catalog_options import CatalogOptions, CatalogSource
from prefect_seedance.report.catalog import CatalogManifest, CatalogStatus, catalog_key
from prefect_seedance.storyboard.catalog import shown_source

app = App(
    name="catalog",
    default_parameter=PLAIN,
    help_epilogue="Each storyboard that is not complete becomes a run of a deployment on its work pool. Run "
    "the command as often as you like: complete storyboards need no run, and failed ones stop no others.\n\n"
    "Exit codes: 0 everything is archived; 3 a submission is unresolved; 1 a storyboard failed or has "
    "mistakes; 4 generations are in flight, or the deadline came first; 2 the set-up is wrong and nothing "
    "was spent. If several apply, the command returns the first in this list.",
)


_OPTIONS = CatalogOptions()


@app.default
def catalog(
    source: Annotated[str, Parameter(help=help_text(CatalogSource))],
    /,
    *,
    archive: Archive,
    options: Annotated[CatalogOptions, Parameter(name="*")] = _OPTIONS,
    param: Annotated[
        tuple[str, ...],
        Parameter(help="NAME=VALUE: a parameter of all runs. Repeat the option for each parameter."),
    ] = (),
    dry_run: Annotated[bool, Parameter(help="Show what the runs would buy, and start none.")] = False,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Make the storyboards of a catalogue that are not complete, each in a flow run of its own."""
    if not configures_server():
        raise SetupError(
            "No Prefect server is configured; set PREFECT_API_URL to the server's API. Without a server, "
            "make one storyboard after the other with prefect-seedance produce"
        )
    parameters = dict(map(_parameter, param))
    configure_logs(verbose=verbose)
    manifest = asyncio.run(_make(source, options, archive=archive, parameters=parameters, is_dry=dry_run))
    code = _exit_code(manifest, is_dry=dry_run)
    show(*([_json(manifest, code)] if json else _rendered(manifest, is_dry=dry_run)))
    return code


async def _make(
    source: str, options: CatalogOptions, *, archive: str, parameters: Mapping[str, str], is_dry: bool
) -> CatalogManifest:
    """Make the catalogue in a flow run, which shows it in Prefect; a dry run needs none."""
    from prefect import flow  # noqa: PLC0415 -- loads Prefect

    from prefect_seedance.flows import storyboard_to_transitions  # noqa: PLC0415
    from prefect_seedance.orchestration.catalog import make_catalog  # noqa: PLC0415
    from prefect_seedance.orchestration.states import catalog_state  # noqa: PLC0415

    make = partial(
        make_catalog,
        source,
        options,
        child=storyboard_to_transitions,
        archive=archive,
        parameters=parameters,
        is_dry=is_dry,
    )
    if is_dry:
        return await make(opener=open_to_plan)
    made: list[CatalogManifest] = []

    @flow(
        name="produce-catalog",
        flow_run_name=lambda: f"produce {one_line(options.name or shown_source(source))}",
    )
    async def produce_catalog() -> object:
        made.append(await make())
        return catalog_state(made[0])

    state = await produce_catalog(return_state=True)
    if not made:  # the error of the set-up
        await state.aresult()
    return made[0]


def _parameter(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not name or not equals:
        raise SetupError(f"--param {given!r} is not of the form NAME=VALUE")
    return name, value


def _exit_code(manifest: CatalogManifest, *, is_dry: bool) -> ExitCode:
    if is_dry:
        return ExitCode.setup if manifest.refusal else ExitCode.complete
    return ExitCode[manifest.verdict.name]


def _json(manifest: CatalogManifest, code: ExitCode) -> str:
    content = {**manifest.model_dump(mode="json"), "exit_code": code}
    return jsons.dumps(content, indent=2, ensure_ascii=False)


_STYLES = {
    CatalogStatus.complete: "dim",
    CatalogStatus.made: "green",
    CatalogStatus.in_flight: "cyan",
    CatalogStatus.not_run: "cyan",
    CatalogStatus.unresolved: "bold yellow",
}


def _rendered(manifest: CatalogManifest, *, is_dry: bool) -> Iterator[RenderableType]:
    table = grid("storyboard", "status", "clips", "billed")
    for entry in manifest.entries:
        style = _STYLES.get(entry.status, "red")
        clips = f"{entry.archived} of {entry.clips}"
        table.add_row(entry.name, Text(entry.status, style), clips, f"{entry.billed_seconds} s")
    yield table
    for entry in manifest.entries:
        if entry.reason:
            yield Text(f"\n{entry.name}: {entry.reason}", _STYLES.get(entry.status, "red"))
    yield f"\n{manifest.summary()}"
    if manifest.refusal:
        yield Text(f"\n{manifest.refusal}", "red")
    if not is_dry:
        yield f"Page: {manifest.archive}/{catalog_key(manifest.catalog, 'index.html')}"
