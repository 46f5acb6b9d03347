"""A clock that does not wait, so that no test does."""

import asyncio
import selectors
from collections.abc import Iterator

import pytest


class _SkippingSelector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]  # chosen at run time
    """Instead of waiting for the next timer, moves the loop's clock to it."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout else timeout)
        if not ready and timeout:
            ready = super().select(0.002)  # a thread's result may be on its way
            if not ready:
                self.skipped += timeout
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop in which sleeping takes no time: when nothing can be done, its clock jumps."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        return super().time() + self._skipping.skipped


class _SkippingPolicy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return SkippingLoop()


@pytest.fixture
def skipping_clock() -> asyncio.AbstractEventLoopPolicy:
    return _SkippingPolicy()
