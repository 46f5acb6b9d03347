"""Create and update the deployments of the shipped flows."""

import asyncio
import json as jsons
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType

from prefect_seedance.cli.options import PLAIN, Archive, Json
from prefect_seedance.cli.prefect_settings import configures_server
from prefect_seedance.cli.printing import command, grid, show
from prefect_seedance.cli.shipped import shipped
from prefect_seedance.errors import SetupError

if TYPE_CHECKING:
    from prefect_seedance.orchestration.deploy import Deployed

app = App(
    name="deploy",
    default_parameter=PLAIN,
    help_epilogue="Run it again after an upgrade. New deployments have inactive schedules. Existing "
    "deployments keep their schedules, parameters and concurrency limits, and what you do not name here.",
)


@app.default
def deploy(
    *,
    pool: Annotated[str, Parameter(help="Work pool. Default for new deployments: seedance.")] = "",
    archive: Archive = "",
    directory: Annotated[
        str,
        Parameter(
            help="Folder on the workers in which runs start; paths are relative to it. "
            "Default for new deployments: the current folder."
        ),
    ] = "",
    dry_run: Annotated[bool, Parameter(help="Show what would be created or updated.")] = False,
    json: Json = False,
) -> int:
    """Create the deployments of all flows on the Prefect server, or update them."""
    if not configures_server():
        raise SetupError("No Prefect server is configured; set PREFECT_API_URL to the server's API")
    from prefect_seedance.orchestration import deploy as steps  # noqa: PLC0415 -- loads Prefect

    target = steps.Target(pool=pool, archive=archive, directory=directory)
    deployed = asyncio.run(steps.deploy(shipped("deployments/prefect.yaml"), target, dry_run=dry_run))
    show(*([_json(deployed)] if json else _rendered(deployed, dry_run=dry_run)))
    return 0


def _json(deployed: "Sequence[Deployed]") -> str:
    return jsons.dumps({"deployments": [each._asdict() for each in deployed]}, indent=2, ensure_ascii=False)


def _rendered(deployed: "Sequence[Deployed]", *, dry_run: bool) -> Iterator[RenderableType]:
    table = grid("deployment", "action", "pool", "archive")
    table.columns[-1].overflow = "fold"
    for each in deployed:
        table.add_row(each.name, each.action if dry_run else f"{each.action}d", each.pool, each.archive)
    yield table
    if not dry_run:
        yield "\nRun them with a worker that has this package installed:"
        for name in sorted({each.pool for each in deployed}):
            yield command(f"prefect worker start --pool {name}")
