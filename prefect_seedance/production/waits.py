"""Report why a run waits, once for each cause."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.poll import Poller
from prefect_seedance.errors import ConnectionFailedError, SeedanceError
from prefect_seedance.printable import Logger, get_logger, one_line
from prefect_seedance.production.slots import RunSlots

_LOOK_EVERY_SECONDS = 0.5
_OVER_AFTER_SECONDS = 5.0
"""How long a cause must be gone, so that one that comes and goes is reported once."""

_REQUEST = re.compile(r"(?:GET|POST) \S+: (?:\w+: )?(?P<reason>.+)", re.DOTALL)
"""A message about a request, as `translated_errors` makes it."""

OnWait = Callable[[str], None]
"""Called with each new cause for which a run waits, and with an empty text when it continues."""

_log = get_logger(__name__)


class Cause(NamedTuple):
    """Why clips wait.

    Attributes:
        urgency: The lowest is the most urgent one, which a less urgent one does not replace at once.
        kind: Two causes of the same kind are reported once.
    """

    urgency: int
    kind: object
    text: str


@dataclass(kw_only=True)
class Waits:
    """Watches what clips wait for.

    Attributes:
        deadline: By the event loop's clock.
        statuses: The latest status of each clip, by fingerprint.
    """

    client: SeedanceClient
    poller: Poller
    slots: RunSlots
    deadline: float
    on_wait: OnWait
    statuses: MutableMapping[str, ClipStatus] = field(default_factory=dict)
    _shown: Cause | None = None
    _seen_at: float = 0.0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Report causes inside."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            if self._shown and not self._cause():  # it was over too short a time ago for the watch
                self._end()

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    def _look(self) -> None:
        """Report a cause that is new, and that the last one is over once it has been gone for a while."""
        now, cause = asyncio.get_running_loop().time(), self._cause()
        if cause and self._shown and cause.kind == self._shown.kind:
            self._seen_at = now
            return
        if self._shown and now - self._seen_at >= _OVER_AFTER_SECONDS:
            self._end()
        if cause and (self._shown is None or cause.urgency <= self._shown.urgency):
            self._shown, self._seen_at = cause, now
            self._report(f"{one_line(cause.text)}; trying until {self._latest()}")

    def _end(self) -> None:
        self._shown = None
        self._report("")

    def _cause(self) -> Cause | None:
        statuses = set(self.statuses.values())
        refusal = self.client.account.submissions.refusal
        if ClipStatus.submitting in statuses and refusal:
            return Cause(0, type(refusal), self._explained(refusal))
        if ClipStatus.in_flight in statuses and (failure := self.poller.failure):
            return Cause(1, type(failure), self._explained(failure))
        if (waiting := self.slots.waiting) and (reason := self.slots.reason):
            share = self.slots.slots.share
            clips = "1 clip waits" if waiting == 1 else f"{waiting:,} clips wait"
            return Cause(2, ("slots", bool(share and share.problem)), f"{clips}, because {reason}")
        return None

    def _explained(self, error: SeedanceError) -> str:
        """Return the cause of an error, without the URL and the class that a request's error begins with."""
        host, text = urlsplit(self.client.base_url).netloc, str(error)
        request = _REQUEST.match(text)
        reason = request["reason"] if request else text
        if isinstance(error, ConnectionFailedError):
            return f"cannot reach {host}: {reason}"
        return f"no answer from {host}: {reason}" if request else reason

    def _latest(self) -> str:
        now = datetime.now(UTC).astimezone()
        end = now + timedelta(seconds=self.deadline - asyncio.get_running_loop().time())
        return f"{end:%H:%M}" if end.date() == now.date() else f"{end:%Y-%m-%d %H:%M}"

    def _report(self, text: str) -> None:
        try:
            self.on_wait(text)
        except Exception:  # noqa: BLE001 -- foreign code
            _log.exception("on_wait failed; the run continues")


def log_wait(text: str, *, logger: Logger = _log) -> None:
    """Log a cause, or that the last one is over."""
    if text:
        logger.warning("%s", text)
    else:
        logger.info("The run continues: what it waited for is over")
