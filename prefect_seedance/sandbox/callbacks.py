"""Callbacks: what the API posts once a generation has ended."""

import asyncio
import contextlib
import json
from urllib.parse import urlsplit

import httpx

from prefect_seedance.sandbox.books import Account, Books, CallbackAttempt
from prefect_seedance.sandbox.clock import unix_ms
from prefect_seedance.sandbox.envelope import enveloped
from prefect_seedance.sandbox.outbound import open_client

# Seconds before each redelivery. Source: contract.md: up to three times, growing, the first about 30 s.
_GAPS_SECONDS = (30.0, 60.0, 120.0)

# The receiver's own work does not get faster with the sandbox, so its time to answer shrinks only so far.
_ANSWER_SECONDS, _LEAST_ANSWER_SECONDS = 30.0, 5.0

# Thousands of generations may end together; the receiver shall not meet thousands of connections.
_AT_ONCE = 50


class Courier:
    """Delivers callbacks, and again if they are not answered with 200."""

    def __init__(self, books: Books, *, speed: float) -> None:
        self._books = books
        self._speed = speed
        self._client = open_client(timeout_seconds=max(_LEAST_ANSWER_SECONDS, _ANSWER_SECONDS / speed))
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._another_went = asyncio.Event()

    async def deliver(self, account: Account) -> None:
        """Post the callback of a generation that has ended, as often as its fate says."""
        delivery = account.generation.fate.delivery
        await asyncio.sleep(delivery.delay_seconds)
        if delivery.after_another_seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._another_went.wait(), delivery.after_another_seconds)
        for _ in range(delivery.copies):
            await self._deliver_until_taken(account)

    async def forge(self, account: Account) -> None:
        """Post what is not true, as somebody might who has read the address; it is not in the books."""
        lie = {
            "taskId": "task_forged",
            "state": "success",
            "resultJson": json.dumps({"resultUrls": ["https://example.com/forged.mp4"]}),
        }
        for _ in range(account.generation.fate.delivery.forged):
            with contextlib.suppress(httpx.HTTPError):
                await self._client.post(account.generation.submission.callback_url, json=enveloped(lie))

    async def _deliver_until_taken(self, account: Account) -> None:
        taken = await self._post(account)
        self._another_went.set()
        self._another_went = asyncio.Event()
        for gap in _GAPS_SECONDS:
            if taken:
                return
            await asyncio.sleep(gap / self._speed)
            taken = await self._post(account)

    async def _post(self, account: Account) -> bool:
        url = account.generation.submission.callback_url
        outcome: int | str
        try:
            async with self._gate:
                answer = await self._client.post(url, json=enveloped(account.generation.status()))
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        else:
            outcome = answer.status_code
            self._books.notice_headers("callback", path=urlsplit(url).path, headers=answer.headers)
        account.callbacks.append(CallbackAttempt(unix_ms(), outcome))
        return outcome == httpx.codes.OK

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
