"""An event loop on a virtual clock, in which waiting takes no time."""

import asyncio
import selectors
from collections.abc import Callable

_THREAD_SECONDS = 1.0
"""Longest real wait for a thread, when no timer is set."""


class _JumpingSelector(selectors.SelectSelector):
    """A selector that sets the clock to the next timer instead of waiting for it."""

    now = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.on_step: Callable[[], object] = lambda: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the ready events; if there are none, jump to the next timer."""
        self.on_step()
        if timeout is None:
            return super().select(_THREAD_SECONDS)
        ready = super().select(0)
        if not ready:
            self.now += max(timeout, 0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that begins at time 0, and calls a function before each of its steps."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time."""
        return self._jumping.now

    def call_each_step(self, function: Callable[[], object]) -> None:
        """Call a function before each step."""
        self._jumping.on_step = function
