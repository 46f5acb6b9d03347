"""Names and final states of flow runs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from urllib.parse import urlsplit

from prefect import runtime
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.report.paid_clip import PaidClip, verdict_on
from prefect_seedance.report.verdict import Verdict

_REASONS_SHOWN = 10
"""In a state's message, which Prefect shows in lists and sends in every notification."""


def flow_run() -> str:
    """Return the name of the current flow run, for people who read the ledger; empty outside of one."""
    context = FlowRunContext.get()
    return f"flow run {context.flow_run.name}" if context and context.flow_run else ""


def named_after(parameter: str) -> Callable[[], str]:
    """Return a function that names flow runs after their production.

    Args:
        parameter: The flow parameter that holds the storyboard or the list of clips.
    """

    def run_name() -> str:
        parameters = runtime.flow_run.parameters
        return f"produce {parameters.get('name') or _title(parameters.get(parameter)) or parameter}"

    return run_name


def _title(source: object) -> str:
    """Return the title of a storyboard or list; of a path or URL its stem, which holds no secrets."""
    if isinstance(source, str):
        return PurePath(urlsplit(source).path).stem
    return str(source.get("title", "") if isinstance(source, Mapping) else getattr(source, "title", ""))


def final_state(manifest: Manifest) -> State[Manifest]:
    """Return the final state of the flow run that made a production.

    A production with generations in flight has not failed: a later run completes it. A failed state carries
    only a message, because Prefect makes callers raise the data of a failed state.
    """
    if manifest.verdict is Verdict.complete:
        return Completed(message=manifest.summary(), data=manifest)
    if manifest.verdict is Verdict.in_flight:
        return Completed(name="InFlight", message=manifest.summary(), data=manifest)
    return Failed(message=f"{manifest.summary()}\n{_reasons(manifest)}")


def rescued_state(clips: list[PaidClip]) -> State[list[PaidClip]]:
    """Return the final state of the flow run that rescued clips."""
    left = [clip for clip in clips if not clip.key]
    message = f"{len(clips) - len(left)} rescued, {len(left)} left"
    match verdict_on(clips):
        case Verdict.complete:
            return Completed(message=message, data=clips)
        case Verdict.in_flight:
            return Completed(name="InFlight", message=message, data=clips)
    reasons = [clip.reason or f"{clip.name}: {clip.status}" for clip in left]
    return Failed(message="\n".join([message, *reasons[:_REASONS_SHOWN]]))


def _reasons(manifest: Manifest) -> str:
    """List why clips have no video, one per line."""
    clips: Sequence[Entry | PaidClip] = (*manifest.clips, *manifest.former)
    reasons = [(clip.name, clip.reason) for clip in clips if clip.reason]
    lines = [reason if name in reason else f"{name}: {reason}" for name, reason in reasons]
    more = [f"and {len(lines) - _REASONS_SHOWN} more, listed in the manifest"]
    return "\n".join(lines[:_REASONS_SHOWN] + (more if len(lines) > _REASONS_SHOWN else []))
