"""Create and update the deployments of the shipped flows."""

import asyncio
import json as jsons
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import RenderableType

from prefect_seedance.cli.options import PLAIN, Account, Json
from prefect_seedance.cli.prefect_settings import configures_server
from prefect_seedance.cli.printing import command, grid, show
from prefect_seedance.cli.shipped import shipped
from prefect_seedance.doors import API_KEY_VARIABLE, ARCHIVE_VARIABLE
from prefect_seedance.errors import SetupError
from prefect_seedance.production.catalog_options import CatalogOptions

if TYPE_CHECKING:
    from prefect_seedance.orchestration.account_limit import AccountLimit
    from prefect_seedance.orchestration.deploy import Report

_AUTOMATIONS = ("deployments/automations.yaml", "deployments/notifications.yaml")

app = App(
    name="deploy",
    default_parameter=PLAIN,
    help_epilogue="Run it again after an upgrade. New deployments have inactive schedules. Existing "
    "deployments keep their schedules, parameters and concurrency limits, and what you do not name here. "
    "Automations that you have disabled stay disabled.",
)


@Parameter(name="*")
@dataclass(frozen=True)
class _Starts:
    """Where runs start, and how many at a time."""

    directory: Annotated[
        str,
        Parameter(
            help="Folder on the workers in which runs start; paths are relative to it. "
            "Default for new deployments: the current folder, or /tmp with --image."
        ),
    ] = ""
    image: Annotated[
        str,
        Parameter(help="Container image in which runs start; it needs a work pool for containers."),
    ] = ""
    at_a_time: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=1),
            help="Storyboards that all workers together make at a time. Default for new deployments: "
            f"{CatalogOptions().at_a_time}.",
        ),
    ] = None


_STARTS = _Starts()


@app.default
def deploy(
    *,
    pool: Annotated[
        str,
        Parameter(help="Work pool, created if it does not exist. Default for new deployments: seedance."),
    ] = "",
    archive: Annotated[
        str,
        Parameter(
            help="Where all runs store clips and ledger: a folder, a bucket or block:NAME. In another one, "
            "existing deployments would buy all clips again. Default for new deployments: SEEDANCE_ARCHIVE, "
            "or the folder productions."
        ),
    ] = "",
    starts: _Starts = _STARTS,
    notify: Annotated[
        str,
        Parameter(
            help="Notification block of Prefect, such as slack-webhook/alerts. Its messages report "
            "failed runs, unresolved submissions, paid clips that are not archived, and models that end."
        ),
    ] = "",
    dry_run: Annotated[bool, Parameter(help="Show what would be created or updated.")] = False,
    credentials: Annotated[
        str,
        Parameter(
            help="Credentials block of the account that all runs use, and whose limits all workers divide. "
            "Default: the account of SEEDANCE_API_KEY, here and in the workers' environment."
        ),
    ] = "",
    json: Json = False,
) -> int:
    """Create deployments, automations and the account's limit on the Prefect server, or update them."""
    if not configures_server():
        raise SetupError("No Prefect server is configured; set PREFECT_API_URL to the server's API")
    from prefect_seedance.orchestration import deploy as steps  # noqa: PLC0415 -- loads Prefect

    files = steps.Files(shipped("deployments/prefect.yaml"), [shipped(each) for each in _AUTOMATIONS])
    target = steps.Target(
        pool,
        archive,
        credentials=credentials,
        archive_of_new=os.environ.get(ARCHIVE_VARIABLE, ""),
        **asdict(starts),
    )

    async def carry_out() -> "Report":
        is_named = credentials or os.environ.get(API_KEY_VARIABLE)
        account = await Account(credentials=credentials).find() if is_named else None
        return await steps.deploy(files, target, account=account, notify=notify, dry_run=dry_run)

    report = asyncio.run(carry_out())
    show(*([_json(report)] if json else _rendered(report, dry_run=dry_run)))
    return 0


def _json(report: "Report") -> str:
    limit = report.account_limit
    content = {
        "deployments": [each._asdict() for each in report.deployments],
        "pools": [each._asdict() for each in report.pools],
        "automations": [each._asdict() for each in report.automations],
        "account_limit": limit._asdict() if limit else None,
    }
    return jsons.dumps(content, indent=2, ensure_ascii=False)


def _rendered(report: "Report", *, dry_run: bool) -> Iterator[RenderableType]:
    def done(action: str) -> str:
        return action if dry_run else f"{action}d"

    table = grid("deployment", "action", "pool", "archive")
    table.columns[-1].overflow = "fold"
    for each in report.deployments:
        table.add_row(each.name, done(each.action), each.pool, each.archive)
    yield table
    table = grid("automation", "action", "")
    for automation in report.automations:
        if automation.action != "skip":
            table.add_row(automation.name, done(automation.action), "" if automation.enabled else "disabled")
    yield "\n"
    yield table
    yield from _texts(report, dry_run=dry_run)
    if not dry_run:
        yield "\nRun them with a worker that has this package installed:"
        for pool in report.pools:
            yield command(f"prefect worker start --pool {pool.name}")


def _texts(report: "Report", *, dry_run: bool) -> Iterator[str]:
    if any(each.action == "skip" for each in report.automations):
        yield "\nNo automation notifies you. To be notified of failures, name a block with --notify."
    for pool in report.pools:
        if pool.action == "create":
            yield f"\nWork pool: {pool.name}, {pool.type}, {'would be created' if dry_run else 'created'}."
    yield "\n" + _limit_text(report.account_limit, dry_run=dry_run)


def _limit_text(limit: "AccountLimit | None", *, dry_run: bool) -> str:
    if limit is None:
        return (
            "No account is named, so each worker observes its limits on its own. To divide them, set "
            "SEEDANCE_API_KEY, or name a block with --credentials, and run the command again."
        )
    words = "kept" if limit.action == "keep" else "would be created" if dry_run else "created"
    return f"Limit of the account: {limit.name}, {limit.slots:,} slots, {words}."
