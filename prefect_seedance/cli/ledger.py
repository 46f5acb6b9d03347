"""List what an archive was asked to hold, and what became of it."""

import asyncio
import json as jsons
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import BaseModel, ConfigDict
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli import history as survey
from prefect_seedance.cli.history import ClipHistory, State
from prefect_seedance.cli.options import PLAIN, Archive, Json
from prefect_seedance.cli.printing import count, grid, show
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.storage.store import Store

app = App(name="ledger", default_parameter=PLAIN)

_ENOUGH = 12
"""Digits of a fingerprint that tell a million clips apart, and that `resolve` takes."""

_STYLES: Mapping[State, str] = {
    State.unresolved: "bold yellow",
    State.failed: "red",
    State.not_started: "red",
    State.archived: "green",
}


class Line(BaseModel):
    """What the ledger knows of one clip.

    Attributes:
        asked_at: When its last attempt began.
        asked_by: Who began it.
        reason: Why there is no video.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    name: str
    production: str
    state: State
    attempts: int
    generation_id: str | None
    asked_at: datetime
    age_seconds: int
    asked_by: str
    reason: str | None


@app.default
def ledger(
    archive: Archive,
    /,
    *,
    unresolved: Annotated[bool, Parameter(help="Only clips that may have been bought.")] = False,
    json: Json = False,
) -> int:
    """List every clip that an archive was asked to hold: its attempts, its state and its age.

    Unresolved clips come first: they were submitted, no answer is recorded, and a paid generation may exist.
    """
    lines = asyncio.run(_lines(archive))
    chosen = [line for line in lines if line.state is State.unresolved or not unresolved]
    if json:
        clips = [line.model_dump(mode="json") for line in chosen]
        show(jsons.dumps({"archive": archive, "clips": clips}, indent=2))
    else:
        show(*_told(chosen))
    return 0


async def _lines(archive: str) -> Sequence[Line]:
    """Read the whole ledger: what needs settling first, then the latest first."""
    store = await survey.demanded(archive)
    now, memories = datetime.now(UTC), await _memories(store)
    lines = [_line(fingerprint, memory, now) for fingerprint, memory in memories.items() if memory.last]
    return sorted(lines, key=lambda line: (line.state is not State.unresolved, line.age_seconds))


async def _memories(store: Store) -> Mapping[str, ClipHistory]:
    return await survey.recall(store, await Ledger(store).fingerprints())


def _line(fingerprint: str, memory: ClipHistory, now: datetime) -> Line:
    intent, outcome = memory.attempts[-1].intent, memory.attempts[-1].outcome
    said = outcome and ", ".join(filter(None, (outcome.code, outcome.message)))
    return Line(
        fingerprint=fingerprint,
        name=intent.name,
        production=intent.production,
        state=memory.state,
        attempts=len(memory.attempts),
        generation_id=memory.attempts[-1].generation_id or None,
        asked_at=intent.asked_at,
        age_seconds=int((now - intent.asked_at).total_seconds()),
        asked_by=intent.asked_by,
        reason=said or None,
    )


def _told(lines: Sequence[Line]) -> Iterator[RenderableType]:
    table = grid("fingerprint", "state", "age", "tries", "clip", "production", "generation")
    table.columns[-1].overflow = "fold"  # rather than to cut what may have to be copied
    for line in lines:
        state = Text(line.state, _STYLES.get(line.state, "cyan"))
        age, tries, beginning = _age(line.age_seconds), f"{line.attempts}", line.fingerprint[:_ENOUGH]
        table.add_row(beginning, state, age, tries, line.name, line.production, line.generation_id or "")
    if lines:
        yield table
        yield ""
    for line in lines:
        if line.reason:
            yield Text(f"{line.name}: {line.reason}", _STYLES.get(line.state, ""))
    counts = Counter(line.state for line in lines)
    told = ", ".join(f"{counts[state]:,} {state}" for state in State if counts[state])
    yield f"{count(len(lines), 'clip')}{told and ': '}{told}"


def _age(seconds: int) -> str:
    """Write an age as coarsely as people remember it."""
    age = timedelta(seconds=seconds)
    if age.days:
        return count(age.days, "day")
    return f"{seconds // 3600} h" if seconds >= 3600 else f"{seconds // 60} min"  # noqa: PLR2004 -- an hour
