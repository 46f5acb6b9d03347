"""Resolve a submission with an unknown outcome."""

import asyncio
import getpass
import json as jsons
from dataclasses import asdict
from typing import Annotated

from cyclopts import App, Parameter

from prefect_seedance.cli.archives import open_existing
from prefect_seedance.cli.clip_lookup import find_unresolved
from prefect_seedance.cli.options import PLAIN, Account, Archive, Json
from prefect_seedance.cli.printing import show
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt
from prefect_seedance.clips.submit import this_process
from prefect_seedance.clips.unresolved import Resolver
from prefect_seedance.errors import SetupError

app = App(
    name="resolve",
    default_parameter=PLAIN,
    help_epilogue="`prefect-seedance ledger ARCHIVE --unresolved` lists the unresolved clips. The ledger "
    "records your decision, with your name and the time.",
)


@app.default
def resolve(
    archive: Archive,
    clip: Annotated[
        str,
        Parameter(
            help="The clip's name, its number or PRODUCTION/NUMBER, or its fingerprint or the first digits."
        ),
    ],
    /,
    *,
    adopt: Annotated[
        str, Parameter(help="Adopt the generation with this id, as your account shows it.")
    ] = "",
    lost: Annotated[
        bool, Parameter(help="Declare that no generation exists; the next run pays for another one.")
    ] = False,
    account: Account = Account(),
    json: Json = False,
) -> int:
    """Resolve one unresolved clip: adopt its generation, or declare it lost."""
    if bool(adopt) == lost:
        raise SetupError("Give either --adopt TASKID or --lost")
    attempt = asyncio.run(_resolve(archive, clip, adopt=adopt, account=account))
    show(_json(attempt) if json else _rendered(attempt))
    return 0


async def _resolve(archive: str, clip: str, *, adopt: str, account: Account) -> Attempt:
    store = await open_existing(archive)
    clip = await find_unresolved(store, clip)
    resolver = Resolver(ledger=Ledger(store), resolved_by=f"{getpass.getuser()} on {this_process()}")
    if not adopt:
        return await resolver.declare_lost(clip)
    async with await account.client() as client:
        return await resolver.adopt(clip, adopt, client=client)


def _json(attempt: Attempt) -> str:
    facts: dict[str, object] = {
        "clip": attempt.intent.fingerprint,
        "name": attempt.intent.name,
        "attempt": attempt.intent.number,
    }
    if attempt.intent.flow_run:
        facts["flow_run"] = asdict(attempt.intent.flow_run)
    result = attempt.outcome.result if attempt.outcome else "adopted"
    return jsons.dumps({**facts, "result": result, "generation_id": attempt.generation_id or None}, indent=2)


def _rendered(attempt: Attempt) -> str:
    decided, run = _decided(attempt), attempt.intent.flow_run
    return f"{decided}\nIt was submitted by {run}: {run.page}" if run else decided


def _decided(attempt: Attempt) -> str:
    name = attempt.intent.name
    if attempt.acceptance and not attempt.outcome:
        return f"{name} is adopted as generation {attempt.generation_id}; run produce again to archive it"
    return f"{name} is declared lost; run produce again to pay for attempt {attempt.intent.number + 1}"
