"""Summarize a production: the status of its clips, where they are, and the next steps."""

import shlex
from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli.printing import command, count, grid, program, unbroken
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.errors import ContentRejectedError, GenerationFailedError
from prefect_seedance.report.manifest import Entry, Manifest, production_key
from prefect_seedance.report.verdict import Verdict

_MOST_REMARKS = 20
"""More would push the table off the screen; the manifest has all of them."""

_OTHER_COLUMNS = 84
"""Columns for number, status and file beside a clip's name."""

_STATUS_COLUMNS = 22
"""Columns for number and status beside a clip's name."""

_PAID_RETRIES: Mapping[str, str] = {
    GenerationFailedError.__name__: "--retry-failed",
    ContentRejectedError.__name__: "--retry-rejected",
}

_CONTINUED = {ClipStatus.in_flight, ClipStatus.not_archived, ClipStatus.not_submitted}
"""Statuses that the same command may complete."""

_STYLES: Mapping[ClipStatus, str] = {
    ClipStatus.made: "green",
    ClipStatus.reused: "green",
    ClipStatus.failed: "red",
    ClipStatus.not_archived: "bold red",
    ClipStatus.unresolved: "bold yellow",
    ClipStatus.unreadable: "bold red",
    ClipStatus.in_flight: "cyan",
}


def summary(manifest: Manifest, *, again: str, width: int) -> Iterator[RenderableType]:
    """Render the status of every clip, and what to do next.

    Args:
        manifest: Of the production.
        again: The command that continues.
        width: Of the terminal, in columns.
    """
    yield Text(f"{manifest.title}\n", "bold")
    yield _table(manifest, width=width)
    yield from _remarks(manifest)
    yield Text(f"\n{_totals(manifest)}")
    yield from _left_behind(manifest)
    yield from _paths(manifest)
    yield from _next(manifest, again)


def _table(manifest: Manifest, *, width: int) -> RenderableType:
    """Return a table of the clips, without files where their names say the same as the table."""
    folder = manifest.clips_folder
    table = grid("#", "clip", "status", *(() if folder else ("file",)))
    table.columns[0].justify = "right"
    other = _STATUS_COLUMNS if folder else _OTHER_COLUMNS
    table.columns[1].no_wrap, table.columns[1].max_width = True, max(12, width - other)
    table.columns[-1].overflow = "fold"
    for entry in manifest.clips:
        status = Text(entry.status, _STYLES.get(entry.status, ""))
        file = () if folder else (entry.clip.key if entry.clip else "",)
        table.add_row(f"{entry.number}", entry.name, status, *file)
    return table


def _remarks(manifest: Manifest) -> Iterator[RenderableType]:
    found = dict.fromkeys(remark for entry in manifest.clips for remark in _remarks_on(entry))
    remarks = [Text(f"\n{remark}", style) for remark, style in found]
    yield from remarks[:_MOST_REMARKS]
    if left := len(remarks[_MOST_REMARKS:]):
        yield Text(f"\n{count(left, 'more remark')} in manifest.json", "dim")


def _remarks_on(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield the remarks on a clip, each with its style."""
    if entry.reason:
        yield entry.reason, _STYLES.get(entry.status, "")
    for finding in entry.clip.findings if entry.clip else ():
        yield f"{entry.name} {finding}", "yellow"


def _totals(manifest: Manifest) -> str:
    counts = ", ".join(f"{number:,} {status}" for status, number in manifest.counts.items())
    billed = f"{counts}. This run submitted {manifest.billed_seconds:,} s of video"
    if not manifest.billed_seconds:
        return f"{billed}."
    if manifest.cost is None:
        return f"{billed}. To see the cost, give --price-per-second."
    return f"{billed}, at a cost of {manifest.cost:,}."


def _left_behind(manifest: Manifest) -> Iterator[RenderableType]:
    """Name the clips that were paid for before the storyboard was edited."""
    rescued = [clip for clip in manifest.former if clip.status is ClipStatus.made]
    if rescued:
        yield Text(f"{count(len(rescued), 'clip')} of an earlier version archived.")
    if left := manifest.left_behind:
        verb = "is" if len(left) == 1 else "are"
        why = f"{count(len(left), 'clip')} of an earlier version {verb} paid for and not archived"
        yield from _step(why, f"{program()} rescue {shlex.quote(manifest.archive)}")


def _paths(manifest: Manifest) -> Iterator[RenderableType]:
    folder = f"{manifest.clips_folder}/" if manifest.clips_folder else ""
    yield unbroken(f"Clips     {manifest.archive}/{folder}")
    yield unbroken(f"Manifest  {manifest.archive}/{production_key(manifest.production, 'manifest.json')}")
    if manifest.film:
        yield unbroken(f"Film      {manifest.archive}/{manifest.film.stable_key}")
    if manifest.film_reason:
        yield Text(f"Film      none: {manifest.film_reason}", "yellow")
    if manifest.report:
        yield unbroken(f"Report    {manifest.archive}/{manifest.report}")
    if manifest.report_reason:
        yield Text(f"Report    none: {manifest.report_reason}", "yellow")


def _next(manifest: Manifest, again: str) -> Iterator[RenderableType]:
    """Yield the commands that continue; none buys a clip again that may exist."""
    if manifest.verdict is Verdict.complete:
        return
    if manifest.counts.get(ClipStatus.unresolved):
        archive = shlex.quote(manifest.archive)
        yield from _step("List the unresolved submissions", f"{program()} ledger {archive} --unresolved")
    for cause, option in _PAID_RETRIES.items():
        if option not in again and any(entry.cause == cause for entry in manifest.clips):
            yield from _step("Pay for another attempt", f"{again} {option}")
    if manifest.counts.keys() & _CONTINUED:
        yield from _step("Continue", again)


def _step(why: str, words: str) -> Iterator[Text]:
    yield Text(f"\n{why}:")
    yield command(words)
