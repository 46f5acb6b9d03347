"""Report when the API begins to refuse requests because of an account's limits."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

from prefect_seedance.api.lane import MAX_RETRY_AFTER_SECONDS
from prefect_seedance.errors import RateLimitedError, SeedanceError
from prefect_seedance.printable import get_logger

_CALM_SECONDS: Final = 300.0
"""How long after a refusal, and the pause that it requests, a phase is over: limits count by the minute, and
waiting requests use up the new room at once."""

OnThrottled = Callable[[str, str, RateLimitedError], None]
"""Called with the account's name, the kind of the requests, and the refusal."""

_log = get_logger(__name__)


class Throttling:
    """The phases in which the API refuses requests of an account because of a limit (429).

    Args:
        account: Its name, from which the key cannot be computed.

    Attributes:
        listeners: Called once for each phase, with its first refusal.
    """

    def __init__(self, account: str) -> None:
        self.listeners: set[OnThrottled] = set()
        self._account = account
        self._calm_at = -math.inf

    def note(self, requests: str, error: SeedanceError) -> None:
        """Note a refusal, which may begin a phase.

        Args:
            requests: Their kind.
            error: The refusal; others than 429 are ignored.
        """
        if not isinstance(error, RateLimitedError):
            return
        now = asyncio.get_running_loop().time()
        is_new = now >= self._calm_at
        pause = min(error.retry_after_seconds or 0.0, MAX_RETRY_AFTER_SECONDS)
        self._calm_at = now + pause + _CALM_SECONDS
        if not is_new:
            return
        for listener in tuple(self.listeners):
            try:
                listener(self._account, requests, error)
            except Exception:  # noqa: BLE001 -- another error than the refusal would leave a submission unresolved
                _log.exception("A listener failed for the account %s", self._account)
