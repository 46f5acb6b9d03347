"""Tell Prefect: events for machines, artifacts for people."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import PurePath
from urllib.parse import urlsplit

import httpx
from prefect import get_run_logger, runtime
from prefect.artifacts import (
    acreate_image_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed

from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.ledger import Attempt
from prefect_seedance.report.formatting import moment
from prefect_seedance.report.links import Links
from prefect_seedance.report.manifest import Entry, ExitCode, Manifest
from prefect_seedance.report.render import Report
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import Plan

_log = logging.getLogger(__name__)

_PROGRESS_EVERY_SECONDS = 3.0
_LAST_WORDS_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0
"""How long Prefect's server may take to hear of a production; its clips are safe without."""

_REASONS_SHOWN = 10
"""In a state's message, which Prefect shows in lists and sends in every notification."""

_MARKUP = re.compile(r"[!-/:-@\[-`{-~]")
"""What may mean something in Markdown, which permits a backslash before every ASCII punctuation mark. Source:
CommonMark 0.31, section 2.4."""

_STATE_EVENTS: Mapping[str, str] = {
    "pending": "queued",
    "processing": "started",
    "success": "succeeded",
    "failed": "failed",
}


GENERATION = "seedance.generation."
GENERATION_ENDED = "seedance.generation.ended"
"""The resources and the event by which those who wait are woken."""


def generation_submitted(attempt: Attempt) -> None:
    """Tell that the API accepted a submission."""
    _emit("seedance.generation.submitted", attempt)


def generation_changed(attempt: Attempt, generation: Generation) -> None:
    """Tell that a generation is in another state than before."""
    event = f"seedance.generation.{_STATE_EVENTS.get(generation.state, 'changed')}"
    said = {"state": generation.state, "fail_code": generation.fail_code}
    _emit(event, attempt, {key: value for key, value in said.items() if value})


def generation_ended(attempt: Attempt) -> None:
    """Wake those who wait for a generation, and have run again what goes on with it, if a server is known."""
    if attempt.outcome and get_current_settings().api.url:
        related = [
            {"prefect.resource.id": name, "prefect.resource.role": name.split(".")[1]}
            for name in attempt.intent.continued_by
        ]
        _emit(GENERATION_ENDED, attempt, {"result": attempt.outcome.result}, related=related)


def continuation() -> tuple[str, ...]:
    """Name the deployed flow run that we are in, for Prefect to run the same again; else nothing."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return ()
    run, deployment = str(context.flow_run.id), context.flow_run.deployment_id
    outermost = os.environ.get("PREFECT__FLOW_RUN_ID")
    if deployment is None and outermost:  # ours is a subflow of what was deployed
        run, deployment = outermost, runtime.deployment.id
    return (f"prefect.flow-run.{run}", f"prefect.deployment.{deployment}") if deployment else ()


def clip_archived(attempt: Attempt, clip: Clip) -> None:
    """Tell that a video is in the archive."""
    _emit("seedance.clip.archived", attempt, {"key": clip.key, "sha256": clip.sha256})


def _emit(
    event: str,
    attempt: Attempt,
    payload: Mapping[str, str | None] | None = None,
    *,
    related: Sequence[Mapping[str, str]] = (),
) -> None:
    intent = attempt.intent
    emit_event(
        event=event,
        resource={
            "prefect.resource.id": f"{GENERATION}{attempt.generation_id}",
            "prefect.resource.name": intent.name,
            "seedance.production": intent.production,
        },
        related=[dict(each) for each in related],
        payload={"clip": intent.name, "fingerprint": intent.fingerprint, **(payload or {})},
    )


def warn(text: str) -> None:
    """Say in the flow run's log what people should know, or in Python's if no flow runs."""
    logger = get_run_logger() if _is_watched() else _log
    logger.warning("%s", text)


@asynccontextmanager
async def progress(plan: Plan, entries: Mapping[str, object]) -> AsyncIterator[None]:
    """Keep a progress artifact true while a production runs, if Prefect watches it."""
    if not _is_watched():
        yield
        return
    showing = asyncio.create_task(_show_progress(plan, entries))
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.wait({showing}, timeout=_LAST_WORDS_SECONDS)


async def _show_progress(plan: Plan, entries: Mapping[str, object]) -> None:
    """Create the artifact, and update it until cancelled; then once more, to say where it ended."""
    total = len(plan.distinct)

    def percent() -> float:
        return 100 * len(entries) / total

    with _best_effort("show progress"):
        shown = percent()
        artifact = await acreate_progress_artifact(
            progress=shown,
            key=_artifact_key(plan.name, "progress"),
            description=f"Clips of {_plain(plan.title)}",
        )
        try:
            while len(entries) < total:
                await asyncio.sleep(_PROGRESS_EVERY_SECONDS)
                if percent() != shown:
                    shown = percent()
                    await aupdate_progress_artifact(artifact, progress=shown)
        finally:
            await aupdate_progress_artifact(artifact, progress=percent())


async def production_ended(manifest: Manifest) -> None:
    """Show people the account of a production."""
    if not _is_watched():
        return
    with _best_effort("show the manifest"):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await acreate_table_artifact(
                key=_artifact_key(manifest.production, "manifest"),
                table=[_row(entry) for entry in manifest.clips],
                description=f"### {_plain(manifest.title)}\n\n{_plain(manifest.summary())}\n\n"
                f"Archive: `{manifest.archive}`",
            )


async def report_written(manifest: Manifest, report: Report, *, store: Store) -> None:
    """Show people where film and report are, and the contact sheet itself if the archive can sign URLs."""
    if not _is_watched():
        return
    with _best_effort("show the report"):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            links = await Links.of(store, report.key)
            sheet = await links.to(report.contact_sheet)
            await acreate_markdown_artifact(
                key=_artifact_key(manifest.production, "report"),
                markdown=await _leaflet(manifest, report, links),
                description=f"Film and report of {_plain(manifest.title)}",
            )
            if sheet.signed:
                await acreate_image_artifact(
                    image_url=sheet.signed,
                    key=_artifact_key(manifest.production, "contact-sheet"),
                    description=f"Start, middle and end of every clip of {_plain(manifest.title)}",
                )


async def _leaflet(manifest: Manifest, report: Report, links: Links) -> str:
    """Say where film and report are: by links that a browser can follow, or by paths."""
    film = manifest.film
    shown = {"Film": film.key if film else None, "Report": report.key}
    lines = [f"# {_plain(manifest.title)}", "", _plain(manifest.summary()), ""]
    for name, key in shown.items():
        if key:
            link = await links.to(key)
            place = links.store.link(key)
            lines.append(f"- [{name}]({link.signed})" if link.signed else f"- {name}: `{place}`")
    if manifest.film_reason:
        lines.append(f"- There is no film: {_plain(manifest.film_reason)}")
    if report.links_until:
        lines += ["", f"The links hold until {moment(report.links_until)}, for whoever may read this."]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return text as Markdown that says just that, in one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def named_after(parameter: str) -> Callable[[], str]:
    """Return what names a flow's runs, given which of its parameters says what to produce."""

    def run_name() -> str:
        asked = runtime.flow_run.parameters
        return f"produce {asked.get('name') or _title(asked.get(parameter)) or parameter}"

    return run_name


def _title(source: object) -> str:
    """Return what a storyboard or list calls itself; of a path or URL its stem, which holds no secrets."""
    if isinstance(source, str):
        return PurePath(urlsplit(source).path).stem
    return str(source.get("title", "") if isinstance(source, Mapping) else getattr(source, "title", ""))


def final_state(manifest: Manifest) -> State[Manifest]:
    """Return the state in which a flow that made this production ends.

    A production that is still in flight has not failed: a further run completes it. One that failed
    holds no manifest but its message, because Prefect has callers raise what a failed state holds.
    """
    if manifest.is_complete:
        return Completed(message=manifest.summary(), data=manifest)
    if manifest.exit_code == ExitCode.in_flight:
        return Completed(name="InFlight", message=manifest.summary(), data=manifest)
    return Failed(message=f"{manifest.summary()}\n{_reasons(manifest)}")


def _reasons(manifest: Manifest) -> str:
    """List why clips have no video, a line each, as many as one likes to read."""
    told = [(entry.name, entry.reason) for entry in manifest.clips if entry.reason]
    lines = [reason if name in reason else f"{name}: {reason}" for name, reason in told]
    more = [f"and {len(lines) - _REASONS_SHOWN} more, listed in the manifest"]
    return "\n".join(lines[:_REASONS_SHOWN] + (more if len(lines) > _REASONS_SHOWN else []))


def _row(entry: Entry) -> dict[str, object]:
    return {
        "#": entry.number,
        "clip": entry.name,
        "standing": str(entry.standing),
        "billed seconds": entry.billed_seconds,
        "generation": entry.generation_id or "",
        "file": entry.clip.key if entry.clip else "",
        "remarks": entry.reason or "; ".join(entry.clip.findings if entry.clip else ()),
    }


def _artifact_key(production: str, kind: str) -> str:
    return f"seedance-{production}-{kind}"


def _is_watched() -> bool:
    return FlowRunContext.get() is not None


@contextmanager
def _best_effort(doing: str) -> Iterator[None]:
    """Keep Prefect's troubles from harming what has been paid for."""
    try:
        yield
    except (httpx.HTTPError, PrefectException, TimeoutError) as error:
        _log.warning("Could not %s in Prefect: %s", doing, error)
