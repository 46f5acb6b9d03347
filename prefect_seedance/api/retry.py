"""Retry one request within a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from prefect_seedance.api.lane import Lane
from prefect_seedance.printable import get_logger

_log = get_logger(__name__)

_T = TypeVar("_T")


async def retry(
    send: Callable[[], Awaitable[_T]],
    *,
    may_retry: Callable[[BaseException], bool],
    seconds: float,
    lane: Lane,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> _T:
    """Retry a request as long as ``may_retry`` allows and its lane has no pause beyond ``seconds``."""
    clock = asyncio.get_running_loop().time
    latest = clock() + seconds
    jittered = tenacity.wait_exponential(multiplier=0.5, max=15) + tenacity.wait_random(0, 0.5)
    tries = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(may_retry),
        wait=lambda state: max(lane.pause_seconds, jittered(state)),
        stop=lambda state: clock() + state.upcoming_sleep >= latest,
        sleep=sleep,
        before_sleep=_note,
        reraise=True,
    )
    return await tries(send)


def _note(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.debug("%s; again in %.1f s", error, state.upcoming_sleep)
