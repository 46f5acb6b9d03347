"""Create and update the deployments of the shipped flows."""

import asyncio
import json as jsons
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType

from prefect_seedance.cli.options import PLAIN, Account, Archive, Json
from prefect_seedance.cli.prefect_settings import configures_server
from prefect_seedance.cli.printing import command, grid, show
from prefect_seedance.cli.shipped import shipped
from prefect_seedance.doors import API_KEY_VARIABLE
from prefect_seedance.errors import SetupError

if TYPE_CHECKING:
    from prefect_seedance.orchestration.account_limit import AccountLimit
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
    credentials: Annotated[
        str,
        Parameter(
            help="Credentials block of the account whose limits all workers divide. "
            "Default: the account of SEEDANCE_API_KEY."
        ),
    ] = "",
    json: Json = False,
) -> int:
    """Create the deployments of all flows and the account's limit on the Prefect server, or update them."""
    if not configures_server():
        raise SetupError("No Prefect server is configured; set PREFECT_API_URL to the server's API")
    from prefect_seedance.orchestration import deploy as steps  # noqa: PLC0415 -- loads Prefect

    target = steps.Target(pool=pool, archive=archive, directory=directory)

    async def carry_out() -> "tuple[AccountLimit | None, Sequence[Deployed]]":
        limit = await _limit(credentials, dry_run=dry_run)
        return limit, await steps.deploy(shipped("deployments/prefect.yaml"), target, dry_run=dry_run)

    limit, deployed = asyncio.run(carry_out())
    show(*([_json(deployed, limit)] if json else _rendered(deployed, limit, dry_run=dry_run)))
    return 0


async def _limit(credentials: str, *, dry_run: bool) -> "AccountLimit | None":
    """Create the limit of the account; without an account return None."""
    if not credentials and not os.environ.get(API_KEY_VARIABLE):
        return None
    from prefect_seedance.orchestration.account_limit import limit_account  # noqa: PLC0415 -- loads Prefect

    return await limit_account(await Account(credentials=credentials).find(), dry_run=dry_run)


def _json(deployed: "Sequence[Deployed]", limit: "AccountLimit | None") -> str:
    content = {
        "deployments": [each._asdict() for each in deployed],
        "account_limit": limit._asdict() if limit else None,
    }
    return jsons.dumps(content, indent=2, ensure_ascii=False)


def _rendered(
    deployed: "Sequence[Deployed]", limit: "AccountLimit | None", *, dry_run: bool
) -> Iterator[RenderableType]:
    table = grid("deployment", "action", "pool", "archive")
    table.columns[-1].overflow = "fold"
    for each in deployed:
        table.add_row(each.name, each.action if dry_run else f"{each.action}d", each.pool, each.archive)
    yield table
    yield "\n" + _limit_text(limit, dry_run=dry_run)
    if not dry_run:
        yield "\nRun them with a worker that has this package installed:"
        for name in sorted({each.pool for each in deployed}):
            yield command(f"prefect worker start --pool {name}")


def _limit_text(limit: "AccountLimit | None", *, dry_run: bool) -> str:
    if limit is None:
        return (
            "No account is named, so each worker observes its limits on its own. To divide them, set "
            "SEEDANCE_API_KEY, or name a block with --credentials, and run the command again."
        )
    words = "kept" if limit.action == "keep" else "would be created" if dry_run else "created"
    return f"Limit of the account: {limit.name}, {limit.slots:,} slots, {words}."
