"""Callbacks that the API posts when a generation ends."""

import asyncio
import contextlib
import json
from urllib.parse import urlsplit

import httpx

from prefect_seedance.sandbox.books import Account, Books, CallbackAttempt
from prefect_seedance.sandbox.clock import unix_ms
from prefect_seedance.sandbox.envelope import enveloped
from prefect_seedance.sandbox.outbound import open_client

_GAPS_SECONDS = (30.0, 60.0, 120.0)
"""Seconds before each redelivery. Source: contract.md: up to three times, growing, the first about 30 s."""

_TIMEOUT_SECONDS, _MIN_TIMEOUT_SECONDS = 30.0, 5.0
"""The speed does not apply to the receiver's own work, so its timeout has a lower bound."""

_MAX_CONNECTIONS = 50
"""Thousands of generations may end together; this limits the connections to the receiver."""


class CallbackSender:
    """Deliver callbacks, and deliver again those not answered with 200."""

    def __init__(self, books: Books, *, speed: float) -> None:
        self._books = books
        self._speed = speed
        self._client = open_client(timeout_seconds=max(_MIN_TIMEOUT_SECONDS, _TIMEOUT_SECONDS / speed))
        self._connections = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._another_sent = asyncio.Event()

    async def deliver(self, account: Account) -> None:
        """Post the callback of an ended generation, in as many copies as its fate specifies."""
        delivery = account.generation.fate.delivery
        await asyncio.sleep(delivery.delay_seconds)
        if delivery.after_another_seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._another_sent.wait(), delivery.after_another_seconds)
        for _ in range(delivery.copies):
            await self._deliver_until_acknowledged(account)

    async def forge(self, account: Account) -> None:
        """Post a forged success, as an attacker who knows the URL could; the books do not record it."""
        forged = {
            "taskId": "task_forged",
            "state": "success",
            "resultJson": json.dumps({"resultUrls": ["https://example.com/forged.mp4"]}),
        }
        for _ in range(account.generation.fate.delivery.forged):
            with contextlib.suppress(httpx.HTTPError):
                await self._client.post(account.generation.submission.callback_url, json=enveloped(forged))

    async def _deliver_until_acknowledged(self, account: Account) -> None:
        acknowledged = await self._post(account)
        self._another_sent.set()
        self._another_sent = asyncio.Event()
        for gap in _GAPS_SECONDS:
            if acknowledged:
                return
            await asyncio.sleep(gap / self._speed)
            acknowledged = await self._post(account)

    async def _post(self, account: Account) -> bool:
        url = account.generation.submission.callback_url
        outcome: int | str
        try:
            async with self._connections:
                response = await self._client.post(url, json=enveloped(account.generation.status()))
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        else:
            outcome = response.status_code
            self._books.record_headers("callback", path=urlsplit(url).path, headers=response.headers)
        account.callbacks.append(CallbackAttempt(unix_ms(), outcome))
        return outcome == httpx.codes.OK

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
