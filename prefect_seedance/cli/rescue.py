"""Archive paid clips that are not archived yet."""

import asyncio
import json as jsons
from collections.abc import Iterator, Sequence
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import BaseModel
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli.archives import open_archive, open_existing
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.options import PLAIN, Account, Archive, Json
from prefect_seedance.cli.printing import count, grid, show
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.options import Deadline, Waiting
from prefect_seedance.production.rescue import rescue_archive
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.report.paid_clip import PaidClip, verdict_on
from prefect_seedance.report.verdict import Verdict

app = App(
    name="rescue",
    default_parameter=PLAIN,
    help_epilogue="It buys nothing. Run it every day from a schedule: the API deletes a video 15 days after "
    "its generation.\n\n"
    "Exit codes: 0 nothing is left; 3 a submission is unresolved; 1 a clip could not be archived; "
    "4 generations are in flight; 2 the set-up is wrong. "
    "If several apply, the first of this list is returned.",
)


class Patience(BaseModel):
    """How long to wait."""

    deadline_seconds: Deadline = Waiting().deadline_seconds


_PATIENCE = Patience()


@app.default
def rescue(
    archive: Archive,
    /,
    *,
    patience: Annotated[Patience, Parameter(name="*")] = _PATIENCE,
    account: Account = Account(),
    json: Json = False,
) -> int:
    """Archive every paid clip that is not archived yet, whatever the storyboards contain today."""
    found = asyncio.run(_rescue(archive, account, deadline_seconds=patience.deadline_seconds))
    verdict = verdict_on(found)
    show(*([_json(archive, found, verdict)] if json else _rendered(found)))
    return ExitCode[verdict.name]


async def _rescue(archive: str, account: Account, *, deadline_seconds: float) -> Sequence[PaidClip]:
    await open_existing(archive)
    waiting = Waiting(deadline_seconds=deadline_seconds)
    settings = RunSettings(credentials=await account.find(), archive=archive, waiting=waiting)
    return await rescue_archive(settings, open_archive=open_archive)


def _json(archive: str, found: Sequence[PaidClip], verdict: Verdict) -> str:
    clips = [clip.model_dump(mode="json") for clip in found]
    content = {"archive": archive, "clips": clips, "exit_code": ExitCode[verdict.name]}
    return jsons.dumps(content, indent=2, ensure_ascii=False)


_STYLES = {ClipStatus.made: "green", ClipStatus.unresolved: "bold yellow", ClipStatus.in_flight: "cyan"}


def _rendered(found: Sequence[PaidClip]) -> Iterator[RenderableType]:
    if not found:
        yield "Everything that is paid for is archived."
        return
    table = grid("clip", "production", "status", "file")
    table.columns[-1].overflow = "fold"
    for clip in found:
        status = Text("rescued" if clip.key else clip.status, _STYLES.get(clip.status, "red"))
        table.add_row(clip.name, clip.production, status, clip.key or "")
    yield table
    for clip in found:
        if clip.reason:
            yield Text(f"\n{clip.reason}", _STYLES.get(clip.status, "red"))
    rescued = sum(clip.key is not None for clip in found)
    yield f"\n{count(rescued, 'clip')} rescued, {len(found) - rescued:,} left"
