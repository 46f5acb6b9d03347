"""A callback receiver that can be killed and started again."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from tests.processes import Receiver

Start = Callable[[int], AbstractContextManager[Receiver]]
"""Starts a receiver on a port; 0 picks a free one."""


@dataclass
class MortalReceiver:
    """A receiver at one address, whatever happens to its process."""

    current: Receiver
    start: Start
    stack: ExitStack

    @classmethod
    @contextlib.contextmanager
    def running(cls, start: Start) -> Iterator["MortalReceiver"]:
        """Run a receiver."""
        with ExitStack() as stack:
            yield cls(stack.enter_context(start(0)), start, stack)

    @property
    def url(self) -> str:
        """Its base URL."""
        return self.current.url

    def kill_and_restart(self) -> None:
        """Kill it, and start it again on the same port, as the API knows its URL."""
        self.current.kill()
        self.current = self.stack.enter_context(self.start(self.current.port))
