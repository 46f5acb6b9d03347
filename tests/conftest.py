"""A clock that does not wait, so that no test does."""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

_THREADS_MAY_ANSWER_SECONDS = 0.005


class _SkippingSelector(selectors.SelectSelector):
    """Instead of waiting for the next timer, moves the loop's clock to it."""

    skipped_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, skip the time in which nothing would have happened."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(min(timeout, _THREADS_MAY_ANSWER_SECONDS))
        if not ready:
            self.skipped_seconds += timeout
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop in which sleeping takes next to no time."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Return the time that would have passed."""
        return super().time() + self._skipping.skipped_seconds


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Let a module's own tests skip time; stories with real processes live in real time."""
    is_unit = item.path.parent == Path(__file__).parent
    return {"skipping": SkippingLoop} if is_unit else {"real": asyncio.SelectorEventLoop}
