"""Tell what became of a production, where its clips are and what to do next."""

import shlex
from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli.printing import command, count, grid, program, unbroken
from prefect_seedance.report.manifest import Entry, ExitCode, Manifest, Standing, production_key

_MOST_REMARKS = 20
"""More would push the table off the screen; the manifest has them all."""

_OTHER_COLUMNS = 72
"""What number, standing and a file's path need at most beside a clip's name."""

_PAID_RETRIES: Mapping[str, str] = {
    "GenerationFailedError": "--retry-failed",
    "ContentRejectedError": "--retry-rejected",
}

_STYLES: Mapping[Standing, str] = {
    Standing.made: "green",
    Standing.reused: "green",
    Standing.failed: "red",
    Standing.unresolved: "bold yellow",
    Standing.in_flight: "cyan",
}


def account(manifest: Manifest, *, again: str, width: int) -> Iterator[RenderableType]:
    """Tell what became of every clip.

    Args:
        manifest: What is to be told.
        again: The command that continues.
        width: Of the terminal, in columns.
    """
    yield Text(f"{manifest.title}\n", "bold")
    table = grid("#", "clip", "became", "file")
    table.columns[0].justify = "right"
    table.columns[1].no_wrap, table.columns[1].max_width = True, max(12, width - _OTHER_COLUMNS)
    table.columns[3].overflow = "fold"
    for entry in manifest.clips:
        became = Text(entry.standing, _STYLES.get(entry.standing, ""))
        table.add_row(f"{entry.number}", entry.name, became, entry.clip.key if entry.clip else "")
    yield table
    yield from _remarks(manifest)
    yield Text(f"\n{_sum(manifest)}")
    yield from _places(manifest)
    yield from _next(manifest, again)


def _remarks(manifest: Manifest) -> Iterator[RenderableType]:
    told = dict.fromkeys(remark for entry in manifest.clips for remark in _remarks_on(entry))
    remarks = [Text(f"\n{remark}", style) for remark, style in told]
    yield from remarks[:_MOST_REMARKS]
    if left := len(remarks[_MOST_REMARKS:]):
        yield Text(f"\n{count(left, 'more remark')} in manifest.json", "dim")


def _remarks_on(entry: Entry) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of a clip, each with its style; many say the same, which is told once."""
    if entry.reason:
        yield entry.reason, _STYLES.get(entry.standing, "")
    for finding in entry.clip.findings if entry.clip else ():
        yield f"{entry.name} {finding}", "yellow"


def _sum(manifest: Manifest) -> str:
    counts = ", ".join(f"{number:,} {standing}" for standing, number in manifest.counts.items())
    return f"{counts}. This run submitted {manifest.billed_seconds:,} s of video."


def _places(manifest: Manifest) -> Iterator[RenderableType]:
    yield unbroken(f"Clips     {manifest.archive}/")
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
    """Say what continues, which never is to buy again what may exist."""
    if manifest.exit_code == ExitCode.complete:
        return
    if manifest.counts.get(Standing.unresolved):
        archive = shlex.quote(manifest.archive)
        yield from _step("See what is unresolved", f"{program()} ledger {archive} --unresolved")
    for cause, option in _PAID_RETRIES.items():
        if option not in again and any(entry.cause == cause for entry in manifest.clips):
            yield from _step("Pay for another attempt", f"{again} {option}")
    if manifest.counts.get(Standing.in_flight) or manifest.counts.get(Standing.not_submitted):
        yield from _step("Continue", again)


def _step(why: str, words: str) -> Iterator[Text]:
    yield Text(f"\n{why}:")
    yield command(words)
