"""Events for subscribers and automations: their names and payloads, and those of generations."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import emit_event
from prefect.settings import get_current_settings

from prefect_seedance.api.account import account_name
from prefect_seedance.api.announcements import Announcement
from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.records import Attempt
from prefect_seedance.errors import RateLimitedError
from prefect_seedance.orchestration.event_text import shown_message, shown_name
from prefect_seedance.printable import one_line

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
    budget_exceeded = "seedance.budget.exceeded"
    model_deprecated = "seedance.model.deprecated"


_CLIP = ("clip", "fingerprint")
_STATUS = (*_CLIP, "status", "archive", "generation_id", "code", "message", "expires_at")
_RUN = ("verdict", "counts", "billed_seconds")

FIELDS: Mapping[Event, tuple[str, ...]] = {
    Event.generation_submitted: _CLIP,
    Event.generation_queued: (*_CLIP, "state"),
    Event.generation_started: (*_CLIP, "state"),
    Event.generation_succeeded: (*_CLIP, "state"),
    Event.generation_failed: (*_CLIP, "state", "fail_code"),
    Event.generation_changed: (*_CLIP, "state"),
    Event.generation_ended: (*_CLIP, "result"),
    Event.clip_archived: (*_CLIP, "key", "sha256"),
    Event.clip_failed: _STATUS,
    Event.clip_unarchived: _STATUS,
    Event.clip_expiring: _STATUS,
    Event.clip_rescued: (*_CLIP, "status", "archive", "generation_id", "key"),
    Event.submission_unresolved: (*_CLIP, "status", "archive", "message"),
    Event.production_ended: (
        *_RUN,
        "cost",
        "total_seconds",
        "total_cost",
        "clips",
        "omitted",
        "archive",
        "manifest",
        "report",
    ),
    Event.catalog_ended: (*_RUN, "storyboards", "archive", "manifest", "page"),
    Event.account_throttled: ("requests", "retry_after_seconds", "message"),
    Event.budget_exceeded: ("message",),
    Event.model_deprecated: ("model", "deprecation", "sunset", "link", "message"),
}
"""The fields of each event's payload. Nothing else leaves, so no prompt, key or signed URL does."""

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
    _emit(event, attempt, {"state": generation.state, "fail_code": generation.fail_code})


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
    emit(
        Event.model_deprecated,
        f"{MODEL}{announcement.model}",
        name=announcement.model,
        labels={"seedance.production": production},
        payload={**announcement.model_dump(), "message": str(announcement)},
    )


def budget_exceeded(message: str, account: Credentials) -> None:
    """Report that a run would buy more than it may, so that its schedule can be paused."""
    name = account_name(account.base_url, account.api_key.get_secret_value())
    payload = {"message": shown_message(message)}
    emit(Event.budget_exceeded, f"{ACCOUNT}{name}", name=name, payload=payload)


def account_throttled(account: str, requests: str, error: RateLimitedError) -> None:
    """Report that the API refuses requests because of a limit of the account.

    Args:
        account: Its name, from which the key cannot be computed.
        requests: Their kind.
        error: The first refusal.
    """
    payload = {
        "requests": requests,
        "retry_after_seconds": error.retry_after_seconds,
        "message": shown_message(str(error)),
    }
    emit(Event.account_throttled, f"{ACCOUNT}{account}", name=account, payload=payload)


def _emit(
    event: Event,
    attempt: Attempt,
    payload: Mapping[str, object] = MappingProxyType({}),
    *,
    related: Sequence[Mapping[str, str]] = (),
) -> None:
    intent = attempt.intent
    name = shown_name(intent.name, prompt=intent.request.input.prompt, fingerprint=intent.fingerprint)
    emit(
        event,
        f"{GENERATION}{attempt.generation_id}",
        name=name,
        labels={"seedance.production": intent.production},
        payload={"clip": name, "fingerprint": intent.fingerprint, **payload},
        related=related,
    )


def emit(
    event: Event,
    resource: str,
    *,
    name: str,
    payload: Mapping[str, object],
    labels: Mapping[str, str] = MappingProxyType({}),
    related: Sequence[Mapping[str, str]] = (),
) -> None:
    """Send an event to Prefect, if a run or a server is there to receive it.

    Args:
        event: Its name.
        resource: The id of what it is about.
        name: The name of that for people.
        payload: Values of its `FIELDS`; those without a value are omitted.
        labels: What automations can match, besides the id.
        related: Other resources, with their roles.
    """
    if not has_prefect():
        return
    emit_event(
        event=event,
        resource={"prefect.resource.id": resource, "prefect.resource.name": one_line(name), **labels},
        related=[dict(each) for each in related],
        payload={key: payload[key] for key in FIELDS[event] if payload.get(key) not in (None, "")},
    )


def has_prefect() -> bool:
    """Return whether events are received; without a run or a server, Prefect would start a server."""
    return bool(FlowRunContext.get() or TaskRunContext.get() or get_current_settings().api.url)
