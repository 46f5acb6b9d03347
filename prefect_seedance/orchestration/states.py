"""Names and final states of flow runs."""

import functools
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import PurePath
from typing import Any, ParamSpec, TypeVar, cast
from urllib.parse import urlsplit

from prefect import runtime
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from prefect_seedance.doors import Door, through
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.orchestration.run_log import forward_warnings
from prefect_seedance.printable import one_line
from prefect_seedance.report.catalog import CatalogManifest
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.report.paid_clip import PaidClip
from prefect_seedance.report.reasons import reasons
from prefect_seedance.report.rescued import RescuedArchive, left_in, summary, verdict_on_all
from prefect_seedance.report.verdict import Verdict

_COMMON_NAMES = frozenset({"storyboard", "clips"})
"""Names of files that do not distinguish productions."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def named_after(parameter: str) -> Callable[[], str]:
    """Return a function that names flow runs after their production.

    Args:
        parameter: The flow parameter that holds the storyboard or the list of clips.
    """

    def run_name() -> str:
        parameters = runtime.flow_run.parameters
        name = parameters.get("name") or _title(parameters.get(parameter)) or parameter
        return f"produce {one_line(name)}"

    return run_name


def _title(source: object) -> str:
    """Return the title of a storyboard or list; of a path or URL its stem, which contains no secrets.

    A folder names its ``storyboard.yaml``.
    """
    if isinstance(source, str):
        path = PurePath(urlsplit(source).path)
        return path.parent.name or path.stem if path.stem in _COMMON_NAMES else path.stem
    return str(source.get("title", "") if isinstance(source, Mapping) else getattr(source, "title", ""))


def explained(function: Callable[_P, Awaitable[_T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Decorate a flow's function: a mistake in the storyboard or the set-up fails the run with its message.

    Messages name the flow's parameters, and the package's warnings are in the run's log. Prefect would log
    the traceback of a raised mistake; callers of the flow raise it anyway.
    """

    @functools.wraps(function)
    async def call(*args: _P.args, **parameters: _P.kwargs) -> _T:
        forward_warnings()
        try:
            return await through(Door.prefect)(function)(*args, **parameters)
        except (SetupError, StoryboardError) as error:
            return cast("_T", Failed(message=str(error), data=error))  # Prefect raises its data

    return call


def final_state(manifest: Manifest) -> State[Manifest]:
    """Return the final state of the flow run that made a production."""
    clips: Sequence[Entry | PaidClip] = (*manifest.clips, *manifest.former)
    return _state(manifest.verdict, manifest, summary=manifest.summary(), reasons=reasons(clips))


def catalog_state(manifest: CatalogManifest) -> State[CatalogManifest]:
    """Return the final state of the flow run that made a catalogue."""
    left = [
        entry.model_copy(update={"reason": one_line(entry.reason)})  # that of a run names each of its clips
        for entry in manifest.entries
        if entry.reason
    ]
    return _state(manifest.verdict, manifest, summary=manifest.summary(), reasons=reasons(left))


def rescued_state(archives: list[RescuedArchive]) -> State[list[RescuedArchive]]:
    """Return the final state of the flow run that rescued clips."""
    left = reasons(list(left_in(archives)))
    return _state(verdict_on_all(archives), archives, summary=summary(archives), reasons=left)


def _state(verdict: Verdict, data: _T, *, summary: str, reasons: str) -> State[_T]:
    """Return the state for a verdict.

    A run that leaves generations in flight has not failed: a later run completes it. A failed state carries
    only a message, because Prefect makes callers raise the data of a failed state.
    """
    summary = one_line(summary)
    if verdict is Verdict.complete:
        return Completed(message=summary, data=data)
    if verdict is Verdict.in_flight:
        return Completed(name="InFlight", message=summary, data=data)
    return Failed(message=f"{summary}\n{reasons}")
