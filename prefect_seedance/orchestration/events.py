"""Events about generations and clips, for subscribers and automations."""

import os
from collections.abc import Mapping, Sequence

from prefect import runtime
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import emit_event
from prefect.settings import get_current_settings

from prefect_seedance.api.account import account_name
from prefect_seedance.api.announcements import Announcement
from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.records import Attempt

GENERATION = "seedance.generation."
"""Prefix of the resource of a generation; its id follows."""

GENERATION_ENDED = "seedance.generation.ended"
"""The event that wakes the runs that wait for a generation."""

_STATE_EVENTS: Mapping[str, str] = {
    "pending": "queued",
    "processing": "started",
    "success": "succeeded",
    "failed": "failed",
}


def generation_submitted(attempt: Attempt) -> None:
    """Report that the API accepted a submission."""
    _emit("seedance.generation.submitted", attempt)


def generation_changed(attempt: Attempt, generation: Generation) -> None:
    """Report that a generation has another state than before."""
    event = f"seedance.generation.{_STATE_EVENTS.get(generation.state, 'changed')}"
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
        _emit(GENERATION_ENDED, attempt, {"result": attempt.outcome.result}, related=related)


def clip_archived(attempt: Attempt, clip: Clip) -> None:
    """Report that a video is in the archive."""
    _emit("seedance.clip.archived", attempt, {"key": clip.key, "sha256": clip.sha256})


def model_deprecated(announcement: Announcement, *, production: str) -> None:
    """Report that the API announces the end of a model."""
    if not _has_prefect():
        return
    emit_event(
        event="seedance.model.deprecated",
        resource={
            "prefect.resource.id": f"seedance.model.{announcement.model}",
            "prefect.resource.name": announcement.model,
            "seedance.production": production,
        },
        payload={**announcement.model_dump(exclude_none=True), "message": str(announcement)},
    )


def budget_exceeded(message: str, account: Credentials) -> None:
    """Report that a run would buy more than it may, so that its schedule can be paused."""
    if not _has_prefect():
        return
    name = account_name(account.base_url, account.api_key.get_secret_value())
    emit_event(
        event="seedance.budget.exceeded",
        resource={"prefect.resource.id": f"seedance.account.{name}", "prefect.resource.name": name},
        payload={"message": message},
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
    event: str,
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
