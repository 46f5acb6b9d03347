"""Permission to send one paid request, which ends by itself."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from prefect_seedance.api import wall_clock
from prefect_seedance.errors import NotSentError


@dataclass
class Permit:
    """Permission to send one paid request, until a time by two clocks or until it is revoked.

    A process may be stopped anywhere: by a signal, a debugger, a suspended computer. When it continues,
    another run may have paid for the same clip. So the permit is checked right before each write to the
    network: without its last byte, a request starts nothing. The wall clock continues while a computer
    sleeps, and the monotonic clock cannot be set back, so both have to agree.

    Attributes:
        expires_at: By the wall clock.
        deadline: By the event loop's clock.
        may_have_started: Whether a generation may exist whose id is not known yet.
    """

    expires_at: datetime
    deadline: float
    may_have_started: bool = False
    _is_revoked: bool = False
    _limit: asyncio.Timeout | None = field(default=None, repr=False)

    @classmethod
    def lasting(cls, seconds: float) -> Self:
        """Return a permit that lasts this long from now."""
        now = asyncio.get_running_loop().time()
        return cls(expires_at=wall_clock.now() + timedelta(seconds=seconds), deadline=now + seconds)

    def revoke(self) -> None:
        """Send nothing any more, and end a wait for the request's turn."""
        self._is_revoked = True
        if self._limit and not self._limit.expired():
            self._limit.reschedule(0)

    def check(self) -> None:
        """Check that the permit has not ended.

        Raises:
            NotSentError: If it has.
        """
        now = asyncio.get_running_loop().time()
        if self._is_revoked or now >= self.deadline or wall_clock.now() >= self.expires_at:
            raise self._refusal()

    def begin(self) -> None:
        """Note that bytes of the request are about to be sent.

        Raises:
            NotSentError: If the permit has ended.
        """
        self.check()
        self.may_have_started = True

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let `check_permit`, when it is called inside, check this permit."""
        token = _in_use.set(self)
        try:
            yield
        finally:
            _in_use.reset(token)

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Wait inside for what the request needs, until the permit ends.

        Raises:
            NotSentError: If the permit ends first.
        """
        if self._is_revoked:
            raise self._refusal()
        try:
            async with asyncio.timeout_at(self.deadline) as self._limit:
                yield
        except TimeoutError:
            raise self._refusal() from None
        finally:
            self._limit = None

    def _refusal(self) -> NotSentError:
        reason = "the run was stopped" if self._is_revoked else "the time to send it was over"
        return NotSentError(f"Nothing was sent: {reason}")


_in_use: ContextVar[Permit] = ContextVar("permit in use")


def check_permit() -> None:
    """Note that bytes of the current task's request are about to be sent.

    Raises:
        NotSentError: If its permit has ended.
        LookupError: If the task has no permit.
    """
    _in_use.get().begin()
