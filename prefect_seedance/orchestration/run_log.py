"""The log of a flow run: what a person wants to know, once."""

import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar, cast
from weakref import WeakValueDictionary

from prefect import get_run_logger
from prefect.client.schemas.objects import TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler
from prefect.settings import get_current_settings

from prefect_seedance.errors import SeedanceError
from prefect_seedance.printable import Logger, get_logger, one_line
from prefect_seedance.production.progress import Progress
from prefect_seedance.report.manifest import Manifest
from prefect_seedance.storage.store import Store

_PACKAGE: Final = "prefect_seedance"

_TASK_RUNS: Final = logging.getLogger("prefect.task_runs")
"""Prefect's logger of task runs. Importing the package changes nothing about it."""

_P = ParamSpec("_P")
_T = TypeVar("_T")

_OUR_RUNS: WeakValueDictionary[str, TaskRun] = WeakValueDictionary()
"""The runs of this package's tasks, by id, for as long as Prefect runs them."""


def forward_warnings() -> None:
    """Send this package's warnings to the log of the flow run in which they occur, from now on."""
    logging.getLogger(_PACKAGE).addHandler(_FORWARDING)  # which adds it once


def run_logger() -> Logger:
    """Return the logger of the flow run, or Python's outside of one."""
    if FlowRunContext.get() is None:
        return get_logger(__name__)
    forward_warnings()
    return cast(Logger, get_run_logger())


def log_settled(progress: Progress) -> None:
    """Log how a clip ended, for those who debug: the manifest has it too."""
    if progress.is_final:
        run_logger().debug("%s: %s", one_line(progress.clip.name), progress.detail or progress.status)


def log_end(manifest: Manifest, store: Store) -> None:
    """Log the production in one line, and where its film and its report are."""
    film = manifest.film.stable_key if manifest.film else None
    found = {"Film": film, "Report": manifest.report}
    places = [f"{name}: {store.link(key)}" for name, key in found.items() if key]
    run_logger().info("%s", ". ".join((one_line(manifest.summary()), *places)))


def quiet(function: Callable[_P, Awaitable[_T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Decorate the function of a task: its runs log neither a normal end nor the traceback of our errors.

    Without it, "Finished in state Completed()" is most of what a flow run with many clips logs, and each
    failed clip adds its error twice.
    """

    @functools.wraps(function)
    async def call(*args: _P.args, **parameters: _P.kwargs) -> _T:
        if context := TaskRunContext.get():
            _TASK_RUNS.addFilter(_is_wanted)  # which adds it once
            _OUR_RUNS[str(context.task_run.id)] = context.task_run
        return await function(*args, **parameters)

    return call


def _is_wanted(record: logging.LogRecord) -> bool:
    """Return whether a line of a task run is worth reading: the line after a traceback has the error too."""
    if getattr(record, "task_run_id", None) not in _OUR_RUNS:
        return True
    if record.levelno == logging.INFO:
        return not record.getMessage().startswith("Finished in state Completed(")
    return not (record.exc_info and isinstance(record.exc_info[1], SeedanceError))


class _Forwarding(APILogHandler):
    """Sends records to the log of the flow run in which they occur."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, unless the user's settings make Prefect send it."""
        if FlowRunContext.get() and _PACKAGE not in (get_current_settings().logging.extra_loggers or ()):
            super().emit(record)


_FORWARDING: Final = _Forwarding(logging.WARNING)
