"""Fixtures for all tests, and an event loop that skips waiting times."""

import asyncio
import contextlib
import functools
import selectors
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from prefect_seedance.api import account
from prefect_seedance.storage.store import Store

settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.load_profile("reproducible")

pytest_plugins = ["tests.processes", "tests.browsing", "tests.recording"]

_REAL_TIME_FOLDERS = {"flows", "hostile", "journeys", "production", "receiver", "sandbox"}
"""Folders whose tests start processes or serve requests."""

_REAL_TIME_MODULES = {"test_loader.py", "test_run_identity.py"}
"""Modules whose tests are served by a thread or a process, for which the skipping loop does not wait."""

_LONGEST_FIRST = (
    "journeys/test_faults.py",
    "flows/test_fleet.py",
    "journeys/test_fleet_guide.py",
    "flows/test_deployments.py",
    "journeys/test_campaign.py",
    "journeys/test_callbacks.py",
    "journeys/test_command_line.py",
    "journeys",
    "flows",
)
"""Files and folders that start first, so that no process runs a long one at the end, while others idle."""

_IDLE_SECONDS = 0.005
"""Time for an event from a socket or a thread before time is skipped."""

_SKIP_SECONDS = 10.0
"""Longest time skipped after each idle period, if another thread or process may wake the loop."""

_STORE_METHODS = ("copy", "create", "fetch", "keys", "probe", "put", "read", "size_bytes", "sweep")


class _SkippingSelector(selectors.SelectSelector):
    """A selector that advances the loop's clock instead of waiting for the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_seconds = 0.0
        self.busy_threads = 0
        self._former = frozenset(threading.enumerate())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the ready events; if there are none, skip time."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        is_alone = self._is_alone()
        ready = super().select(0 if is_alone else min(timeout, _IDLE_SECONDS))
        if not ready and not self.busy_threads:
            self.skipped_seconds += timeout if is_alone else min(timeout, _SKIP_SECONDS)
        return ready

    def _is_alone(self) -> bool:
        """Return whether only a timer can wake the loop: no thread works for it, and it has no sockets."""
        return not self.busy_threads and len(self.get_map()) == 1 and not self._has_new_threads()

    def _has_new_threads(self) -> bool:
        """Return whether threads were started since; those of the loop's executor count while they work."""
        threads = frozenset(threading.enumerate()) - self._former
        return any(not thread.name.startswith("asyncio_") for thread in threads)


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop in which sleeping takes almost no time."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Return the time including the skipped time."""
        return super().time() + self._skipping.skipped_seconds

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Skip no time inside."""
        self._skipping.busy_threads += 1
        try:
            yield
        finally:
            self._skipping.busy_threads -= 1

    def run_in_executor(self, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # noqa: ANN401 -- passes all arguments on
        """Run in a thread, without skipping time meanwhile."""
        self._skipping.busy_threads += 1
        future = super().run_in_executor(*args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self._skipping.busy_threads -= 1


@pytest.fixture(autouse=True)
def _own_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the accounts of other tests, whose pauses are times of other clocks."""
    monkeypatch.setattr(account, "_ACCOUNTS", {})


def _without_skipping(method: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    """Return a method of `Store` that skips no time while it works: obstore's threads do not show."""

    @functools.wraps(method)
    async def call(*args: object, **options: object) -> object:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, SkippingLoop):
            return await method(*args, **options)
        with loop.working():
            return await method(*args, **options)

    return call


for _name in _STORE_METHODS:
    setattr(Store, _name, _without_skipping(getattr(Store, _name)))


def pytest_configure() -> None:
    """Let SIGINT end the processes of tests, also if a shell started the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start long files first."""
    items.sort(key=lambda item: _rank(item.path))


def _rank(path: Path) -> int:
    names = {path.parent.name, f"{path.parent.name}/{path.name}"}
    return next((rank for rank, name in enumerate(_LONGEST_FIRST) if name in names), len(_LONGEST_FIRST))


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Use the skipping loop for unit tests, and a real loop for tests with processes."""
    is_unit = item.path.parent.name not in _REAL_TIME_FOLDERS and item.path.name not in _REAL_TIME_MODULES
    return {"skipping": SkippingLoop} if is_unit else {"real": asyncio.SelectorEventLoop}
