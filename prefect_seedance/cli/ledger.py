"""List the clips in a ledger, and the status of each."""

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

from prefect_seedance.cli.archives import open_existing
from prefect_seedance.cli.options import PLAIN, Archive, Json
from prefect_seedance.cli.printing import count, grid, show
from prefect_seedance.clips.history import ClipHistory, ClipStatus, clip_histories
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.sources import expiry
from prefect_seedance.clips.unresolved import submitting_message
from prefect_seedance.storage.store import Store

app = App(name="ledger", default_parameter=PLAIN)

_PREFIX_DIGITS = 12
"""Digits of a fingerprint that distinguish a million clips; `resolve` accepts them."""

_STYLES: Mapping[ClipStatus, str] = {
    ClipStatus.unresolved: "bold yellow",
    ClipStatus.unreadable: "bold red",
    ClipStatus.failed: "red",
    ClipStatus.not_archived: "bold red",
    ClipStatus.not_submitted: "red",
    ClipStatus.archived: "green",
}


class Line(BaseModel):
    """One clip of the ledger.

    Attributes:
        attempts: How many can be read.
        asked_at: When its last attempt began; None if no attempt can be read.
        asked_by: Host, process and flow run that submitted it.
        reason: Why there is no video, or which record cannot be read.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    name: str
    production: str
    status: ClipStatus
    attempts: int
    generation_id: str | None
    asked_at: datetime | None
    age_seconds: int | None
    asked_by: str
    reason: str | None


@app.default
def ledger(
    archive: Archive,
    /,
    *,
    unresolved: Annotated[bool, Parameter(help="List only unresolved submissions.")] = False,
    json: Json = False,
) -> int:
    """List every submitted clip of an archive, with its attempts, status and age.

    Unresolved clips come first: they were submitted, no answer is recorded, and a paid generation may exist.
    A clip with a record that cannot be read follows, with the reason and the remedy.
    """
    lines = asyncio.run(_lines(archive))
    chosen = [line for line in lines if line.status is ClipStatus.unresolved or not unresolved]
    if json:
        clips = [line.model_dump(mode="json") for line in chosen]
        show(jsons.dumps({"archive": archive, "clips": clips}, indent=2))
    else:
        open_ones = [line for line in lines if line.status is ClipStatus.submitting] if unresolved else []
        show(*_rendered(chosen), *[f"{line.reason}; afterwards it may be unresolved" for line in open_ones])
    return 0


async def _lines(archive: str) -> Sequence[Line]:
    """Read the ledger: unresolved clips first, then unreadable ones, then the latest first."""
    store = await open_existing(archive)
    now, histories = datetime.now(UTC), await _histories(store)
    known = {key: history for key, history in histories.items() if history.attempts or history.unreadable}
    lines = [_line(name, history, now, archive=store.name) for name, history in known.items()]
    ranks = {ClipStatus.unresolved: 0, ClipStatus.unreadable: 1}
    return sorted(lines, key=lambda line: (ranks.get(line.status, 2), line.age_seconds or 0))


async def _histories(store: Store) -> Mapping[str, ClipHistory]:
    return await clip_histories(store, await Ledger(store).fingerprints())


def _line(fingerprint: str, history: ClipHistory, now: datetime, *, archive: str) -> Line:
    attempt = history.decisive
    intent, outcome = (attempt.intent, attempt.outcome) if attempt else (None, None)
    reasons = (*map(str, history.unreadable), *((outcome.code, outcome.message) if outcome else ()))
    if history.status is ClipStatus.not_archived:
        reasons = (expiry(outcome, archive=archive),)
    if history.status is ClipStatus.submitting and attempt:
        reasons = (submitting_message(attempt),)
    return Line(
        fingerprint=fingerprint,
        name=intent.name if intent else "",
        production=intent.production if intent else "",
        status=history.status,
        attempts=len(history.attempts),
        generation_id=attempt.generation_id or None if attempt else None,
        asked_at=intent.asked_at if intent else None,
        age_seconds=int((now - intent.asked_at).total_seconds()) if intent else None,
        asked_by=intent.asked_by if intent else "",
        reason=", ".join(filter(None, reasons)) or None,
    )


def _rendered(lines: Sequence[Line]) -> Iterator[RenderableType]:
    table = grid("fingerprint", "status", "age", "attempts", "clip", "production", "generation")
    table.columns[-1].overflow = "fold"  # an id must not be cut
    for line in lines:
        status = Text(line.status, _STYLES.get(line.status, "cyan"))
        age = "" if line.age_seconds is None else _age(line.age_seconds)
        attempts, prefix = f"{line.attempts}", line.fingerprint[:_PREFIX_DIGITS]
        table.add_row(prefix, status, age, attempts, line.name, line.production, line.generation_id or "")
    if lines:
        yield table
        yield ""
    for line in lines:
        if line.reason:
            name = line.name or line.fingerprint[:_PREFIX_DIGITS]
            yield Text(f"{name}: {line.reason}", _STYLES.get(line.status, ""))
    counts = Counter(line.status for line in lines)
    totals = ", ".join(f"{counts[status]:,} {status}" for status in ClipStatus if counts[status])
    yield f"{count(len(lines), 'clip')}{totals and ': '}{totals}"


def _age(seconds: int) -> str:
    """Format an age in its largest unit."""
    age = timedelta(seconds=seconds)
    if age.days:
        return count(age.days, "day")
    return f"{seconds // 3600} h" if seconds >= 3600 else f"{seconds // 60} min"  # noqa: PLR2004 -- an hour
