"""List the clips in a ledger, and the status of each."""

import asyncio
import json as jsons
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import BaseModel, ConfigDict
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli.archives import open_existing
from prefect_seedance.cli.clip_lookup import Places, find_clips
from prefect_seedance.cli.options import PLAIN, Archive, Json
from prefect_seedance.cli.printing import count, show, width
from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.clips.history import ClipHistory, ClipStatus, clip_histories
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.sources import expiry
from prefect_seedance.clips.unresolved import submitting_message
from prefect_seedance.printable import one_line
from prefect_seedance.report.formatting import tally

app = App(name="ledger", default_parameter=PLAIN)

_PREFIX_DIGITS = 12
"""Digits of a fingerprint that distinguish a million clips; `resolve` accepts them."""

_PROMPT_CHARACTERS = 36
"""The start of a prompt, which tells clips apart and leaves room for their settings in 80 columns."""

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
        flow_run: The flow run; None outside of one, or if an older version submitted the clip.
        prompt: What happens in the clip; None, as its settings, if no attempt can be read.
        take: None if an older version submitted it.
        places: Where it is in storyboards now: the production and the clip's number.
        in_storyboard: Whether the storyboard of its production has it; None if that is not known.
        file: Key of its video; None if it is not archived.
        named_file: Key of the same file under its name for people.
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
    flow_run: FlowRunRef | None
    prompt: str | None
    duration_seconds: int | None
    resolution: str | None
    take: int | None
    places: tuple[str, ...]
    in_storyboard: bool | None
    file: str | None
    named_file: str | None
    reason: str | None


@app.default
def ledger(
    archive: Archive,
    clip: Annotated[
        str, Parameter(help="List only this clip: its name, its number or its fingerprint.")
    ] = "",
    /,
    *,
    unresolved: Annotated[bool, Parameter(help="List only unresolved submissions.")] = False,
    json: Json = False,
) -> int:
    """List every submitted clip of an archive: its status and age, what it is, and where its file is.

    Unresolved clips come first: they were submitted, no answer is recorded, and a paid generation may exist.
    A clip with a record that cannot be read follows, with the reason and the remedy.
    """
    lines = asyncio.run(_lines(archive, clip))
    chosen = [line for line in lines if line.status is ClipStatus.unresolved or not unresolved]
    if json:
        clips = [line.model_dump(mode="json") for line in chosen]
        show(jsons.dumps({"archive": archive, "clips": clips}, indent=2))
    else:
        open_ones = [line for line in lines if line.status is ClipStatus.submitting] if unresolved else []
        notes = [f"{line.reason}; afterwards it may be unresolved" for line in open_ones]
        show(*_rendered(chosen, width=width()), *notes)
    return 0


async def _lines(archive: str, clip: str) -> Sequence[Line]:
    """Read the ledger: unresolved clips first, then unreadable ones, then the latest first."""
    store = await open_existing(archive)
    now, wanted = datetime.now(UTC), await find_clips(store, clip) if clip else None
    histories = await clip_histories(store, wanted or await Ledger(store).fingerprints())
    known = {key: history for key, history in histories.items() if history.attempts or history.unreadable}
    places = await Places.of(store)
    lines = [_line(history, now, archive=store.name, places=places) for history in known.values()]
    ranks = {ClipStatus.unresolved: 0, ClipStatus.unreadable: 1}
    return sorted(lines, key=lambda line: (ranks.get(line.status, 2), line.age_seconds or 0))


def _line(history: ClipHistory, now: datetime, *, archive: str, places: Places) -> Line:
    attempt, fingerprint = history.decisive, history.fingerprint
    intent, outcome = (attempt.intent, attempt.outcome) if attempt else (None, None)
    reasons = (*map(str, history.unreadable), *((outcome.code, outcome.message) if outcome else ()))
    if history.status is ClipStatus.not_archived:
        reasons = (expiry(outcome, archive=archive),)
    if history.status is ClipStatus.submitting and attempt:
        reasons = (submitting_message(attempt),)
    found = places.by_fingerprint.get(fingerprint, ())
    is_known = bool(found) or bool(intent and intent.production in places.productions)
    submitted = intent.request.input if intent else None
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
        flow_run=intent.flow_run if intent else None,
        prompt=submitted.prompt if submitted else None,
        duration_seconds=submitted.duration if submitted else None,
        resolution=submitted.resolution if submitted else None,
        take=intent.take if intent else None,
        places=tuple(f"{place.production}/{place.number}" for place in found),
        in_storyboard=bool(found) if is_known else None,
        file=history.clip.key if history.clip else None,
        named_file=next((place.file for place in found if place.file), None),
        reason=", ".join(filter(None, reasons)) or None,
    )


def _rendered(lines: Sequence[Line], *, width: int) -> Iterator[RenderableType]:
    for line in lines:
        yield from _clip(line, width=width)
        yield ""
    for line in lines:
        if line.reason:
            name = line.name or line.fingerprint[:_PREFIX_DIGITS]
            yield Text(f"{name}: {line.reason}", _STYLES.get(line.status, ""))
    counts = tally((line.status for line in lines), ClipStatus)
    totals = ", ".join(f"{number:,} {status}" for status, number in counts.items())
    yield f"{count(len(lines), 'clip')}{totals and ': '}{totals}"


def _clip(line: Line, *, width: int) -> Iterator[Text]:
    """Describe a clip: its status, what it is, its file, its generation and its flow run, a line each."""
    age = "" if line.age_seconds is None else _age(line.age_seconds)
    first = Text(f"{line.fingerprint[:_PREFIX_DIGITS]}  ")
    first.append(f"{line.status:<13}", _STYLES.get(line.status, "cyan")).append(f"  {age:>7}  {line.name}")
    first.truncate(width, overflow="ellipsis")
    yield first
    if what := ", ".join(_what(line)):
        yield Text(f"  {what}")
    generation = line.generation_id and f"generation {line.generation_id}"
    run = line.flow_run and f"{line.flow_run}  {line.flow_run.page}"
    for found in filter(None, (line.named_file or line.file, generation, run)):
        yield Text(f"  {found}", "dim", overflow="fold")


def _what(line: Line) -> Iterator[str]:
    where = " and ".join(line.places) or line.production
    if where:
        yield f"no longer in {where}" if line.in_storyboard is False else where
    if line.duration_seconds is not None:
        yield f"{line.duration_seconds} s"
        yield f"{line.resolution}"
    if line.take is not None:
        yield f"take {line.take}"
    if line.attempts != 1:
        yield count(line.attempts, "attempt")
    if line.prompt:
        yield f"“{one_line(line.prompt, limit=_PROMPT_CHARACTERS)}”"


def _age(seconds: int) -> str:
    """Format an age in its largest unit."""
    age = timedelta(seconds=seconds)
    if age.days:
        return count(age.days, "day")
    return f"{seconds // 3600} h" if seconds >= 3600 else f"{seconds // 60} min"  # noqa: PLR2004 -- an hour
