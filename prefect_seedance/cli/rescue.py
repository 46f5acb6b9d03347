"""Archive paid clips that are not archived yet."""

import asyncio
import json as jsons
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import BaseModel
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli.archives import open_archive
from prefect_seedance.cli.errors import warn
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.options import PLAIN, Account, Archive, Json
from prefect_seedance.cli.prefect_settings import configures_server
from prefect_seedance.cli.printing import count, grid, show
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.options import Deadline, Waiting
from prefect_seedance.printable import one_line
from prefect_seedance.production.rescue_archives import Rescued, plain_steps, rescue_archives
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.report.rescued import RescuedArchive, left_in, verdict_on_all
from prefect_seedance.report.verdict import Verdict

app = App(
    name="rescue",
    default_parameter=PLAIN,
    help_epilogue="It buys nothing. Run it every day from a schedule: the API deletes a video 15 days after "
    "its generation.\n\n"
    "Exit codes: 0 nothing is left; 3 a submission is unresolved; 1 a clip could not be archived, or an "
    "archive not read; 2 the set-up or the name of an archive is wrong; 4 generations are in flight. "
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
    *others: Annotated[str, Parameter(help="More archives. One that cannot be read stops no other.")],
    patience: Annotated[Patience, Parameter(name="*")] = _PATIENCE,
    account: Account = Account(),
    json: Json = False,
) -> int:
    """Archive every paid clip that is not archived yet, whatever the storyboards contain today.

    It begins with the clips whose links expire first.
    """
    archives = (archive, *others)
    found, prompts = asyncio.run(_rescue(archives, account, deadline_seconds=patience.deadline_seconds))
    verdict = verdict_on_all(found)
    show(*([_json(archives, found, verdict)] if json else _rendered(found)))
    _report(found, prompts)
    return ExitCode[verdict.name]


async def _rescue(archives: Sequence[str], account: Account, *, deadline_seconds: float) -> Rescued:
    waiting = Waiting(deadline_seconds=deadline_seconds)
    settings = RunSettings(credentials=await account.find(), waiting=waiting)
    return await rescue_archives(archives, settings, open_steps=plain_steps(open_archive))


def _report(found: Sequence[RescuedArchive], prompts: Mapping[str, str]) -> None:
    """Send events, if a Prefect server is configured; the exit code does not depend on them."""
    if not configures_server():
        return
    try:
        from prefect_seedance.orchestration.run_events import archives_rescued  # noqa: PLC0415 -- loads Prefect

        archives_rescued(found, prompts=prompts)
    except Exception as error:  # noqa: BLE001 -- loading Prefect raises all kinds if its settings are wrong
        warn(f"Prefect got no events of this rescue; check its settings ({one_line(str(error))})")


def _json(archives: Sequence[str], found: Sequence[RescuedArchive], verdict: Verdict) -> str:
    """Return the account of the archive or, if several were named, of each."""
    accounts = [each.model_dump(mode="json") for each in found]
    if len(archives) == 1:
        content = {"archive": found[0].archive, "clips": accounts[0]["clips"]}
    else:
        content = {"archives": accounts}
    return jsons.dumps({**content, "exit_code": ExitCode[verdict.name]}, indent=2, ensure_ascii=False)


_STYLES = {ClipStatus.made: "green", ClipStatus.unresolved: "bold yellow", ClipStatus.in_flight: "cyan"}


def _rendered(found: Sequence[RescuedArchive]) -> Iterator[RenderableType]:
    clips = [(each.archive, clip) for each in found for clip in each.clips]
    if not clips and all(each.problem is None for each in found):
        yield "Everything that is paid for is archived."
        return
    is_one = len(found) == 1
    if clips:
        table = grid(*(() if is_one else ("archive",)), "clip", "production", "status", "file")
        table.columns[-1].overflow = "fold"
        for archive, clip in clips:
            status = Text("rescued" if clip.key else clip.status, _STYLES.get(clip.status, "red"))
            table.add_row(*(() if is_one else (archive,)), clip.name, clip.production, status, clip.key or "")
        yield table
    for left in left_in(found):
        reason = left.reason if left.name in left.reason else f"{left.name}: {left.reason}"
        yield Text(f"\n{reason}", _STYLES.get(left.status, "red"))
    rescued = sum(clip.key is not None for _, clip in clips)
    yield f"\n{count(rescued, 'clip')} rescued, {len(clips) - rescued:,} left"
