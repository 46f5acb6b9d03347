"""Events about generations and clips, for subscribers and automations."""

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum

from prefect import runtime
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import emit_event
from prefect.settings import get_current_settings

from prefect_seedance.api.announcements import Announcement
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.records import Attempt

GENERATION = "seedance.generation."
"""Prefix of the resource of a generation; its id follows."""

CLIP = "seedance.clip."
"""Prefix of the resource of a clip, which may have no generation; its fingerprint follows."""

PRODUCTION = "seedance.production."
"""Prefix of the resource of a production; its name follows."""

CATALOG = "seedance.catalog."
"""Prefix of the resource of a catalogue; its name follows."""

ACCOUNT = "seedance.account."
"""Prefix of the resource of an account; its name follows, which does not reveal the key."""

MODEL = "seedance.model."
"""Prefix of the resource of a model; its id follows."""


class Event(StrEnum):
    """The names of all events. Automations match on them, so they never change."""

    generation_submitted = "seedance.generation.submitted"
    generation_queued = "seedance.generation.queued"
    generation_started = "seedance.generation.started"
    generation_succeeded = "seedance.generation.succeeded"
    generation_failed = "seedance.generation.failed"
    generation_changed = "seedance.generation.changed"
    generation_ended = "seedance.generation.ended"
    clip_archived = "seedance.clip.archived"
    clip_failed = "seedance.clip.failed"
    clip_unarchived = "seedance.clip.unarchived"
    clip_expiring = "seedance.clip.expiring"
    clip_rescued = "seedance.clip.rescued"
    submission_unresolved = "seedance.submission.unresolved"
    production_ended = "seedance.production.ended"
    catalog_ended = "seedance.catalog.ended"
    account_throttled = "seedance.account.throttled"
    model_deprecated = "seedance.model.deprecated"


_STATE_EVENTS: Mapping[str, Event] = {
    "pending": Event.generation_queued,
    "processing": Event.generation_started,
    "success": Event.generation_succeeded,
    "failed": Event.generation_failed,
}


def generation_submitted(attempt: Attempt) -> None:
    """Report that the API accepted a submission."""
    _emit(Event.generation_submitted, attempt)


def generation_changed(attempt: Attempt, generation: Generation) -> None:
    """Report that a generation has another state than before."""
    event = _STATE_EVENTS.get(generation.state, Event.generation_changed)
    payload = {"state": generation.state, "fail_code": generation.fail_code}
    _emit(event, attempt, {key: value for key, value in payload.items() if value})


def generation_ended(attempt: Attempt) -> None:
    """Wake the runs that wait for a generation, and trigger the deployment that continues its production.

    Without a configured Prefect server it does nothing.
    """
    if attempt.outcome and get_current_settings().api.url:
        related = [
            {"prefect.resource.id": name, "prefect.resource.role": name.split(".")[1]}
            for name in attempt.intent.continued_by
        ]
        _emit(Event.generation_ended, attempt, {"result": attempt.outcome.result}, related=related)


def clip_archived(attempt: Attempt, clip: Clip) -> None:
    """Report that a video is in the archive."""
    _emit(Event.clip_archived, attempt, {"key": clip.key, "sha256": clip.sha256})


def model_deprecated(announcement: Announcement, *, production: str) -> None:
    """Report that the API announces the end of a model."""
    if not _has_prefect():
        return
    emit_event(
        event=Event.model_deprecated,
        resource={
            "prefect.resource.id": f"{MODEL}{announcement.model}",
            "prefect.resource.name": announcement.model,
            "seedance.production": production,
        },
        payload={**announcement.model_dump(exclude_none=True), "message": str(announcement)},
    )


def continuation() -> tuple[str, ...]:
    """Return the resources of this flow run and its deployment, so that Prefect can run it again.

    Returns:
        Nothing outside of a deployed flow run.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return ()
    run, deployment = str(context.flow_run.id), context.flow_run.deployment_id
    outermost = os.environ.get("PREFECT__FLOW_RUN_ID")
    if deployment is None and outermost:  # a subflow of the deployed flow
        run, deployment = outermost, runtime.deployment.id
    return (f"prefect.flow-run.{run}", f"prefect.deployment.{deployment}") if deployment else ()


def _emit(
    event: Event,
    attempt: Attempt,
    payload: Mapping[str, str | None] | None = None,
    *,
    related: Sequence[Mapping[str, str]] = (),
) -> None:
    if not _has_prefect():
        return
    intent = attempt.intent
    emit_event(
        event=event,
        resource={
            "prefect.resource.id": f"{GENERATION}{attempt.generation_id}",
            "prefect.resource.name": intent.label,
            "seedance.production": intent.production,
        },
        related=[dict(each) for each in related],
        payload={"clip": intent.label, "fingerprint": intent.fingerprint, **(payload or {})},
    )


def _has_prefect() -> bool:
    """Whether a server receives events; without a run or a server, Prefect would start one."""
    return bool(FlowRunContext.get() or TaskRunContext.get() or get_current_settings().api.url)
