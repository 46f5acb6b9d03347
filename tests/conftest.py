"""A clock that does not wait, so that no test does."""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any

import pytest

pytest_plugins = ["tests.processes", "tests.browsing"]

_IN_REAL_TIME = {"flows", "journeys", "receiver", "sandbox"}
"""Folders whose tests start processes or serve requests."""

_IDLE_SECONDS = 0.005
_LEAP_SECONDS = 10.0
"""How far time leaps whenever nothing happened for so long. A thread that is still at work, as in the
store, is thereby given 0.3 s before a deadline of ten minutes comes."""


class _SkippingSelector(selectors.SelectSelector):
    """Instead of waiting for the next timer, moves the loop's clock towards it."""

    skipped_seconds = 0.0
    threads_at_work = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, skip time in which nothing would have happened."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(min(timeout, _IDLE_SECONDS))
        if not ready and not self.threads_at_work:
            self.skipped_seconds += min(timeout, _LEAP_SECONDS)
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop in which sleeping takes next to no time."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Return the time that would have passed."""
        return super().time() + self._skipping.skipped_seconds

    def run_in_executor(self, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # noqa: ANN401 -- as they are
        """Run in a thread, during which time does not leap."""
        self._skipping.threads_at_work += 1
        future = super().run_in_executor(*args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self._skipping.threads_at_work -= 1


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Let a module's own tests skip time; stories with real processes live in real time."""
    is_unit = item.path.parent.name not in _IN_REAL_TIME
    return {"skipping": SkippingLoop} if is_unit else {"real": asyncio.SelectorEventLoop}
