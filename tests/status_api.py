"""A scripted API for status reads, and accepted attempts to poll."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx

from prefect_seedance.api.account import REQUESTS_PER_MINUTE
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.poll import Poller
from prefect_seedance.clips.records import Acceptance, Attempt, Intent
from prefect_seedance.options import Waiting

HOUR = 3600.0

Answer = Callable[[float], httpx.Response | BaseException]
"""The API's response, by the seconds since the test began."""


def status(state: str, **more: object) -> httpx.Response:
    """Return the response to a status read."""
    return httpx.Response(200, json={"code": 200, "message": "", "data": {"state": state, **more}})


def success(urls: tuple[str, ...] = ("https://cdn/clip.mp4",), **more: object) -> httpx.Response:
    """Return the response of a generation that succeeded."""
    return status("success", resultJson=json.dumps({"resultUrls": urls}), **more)


def refusal(code: int) -> httpx.Response:
    """Return an error response."""
    return httpx.Response(code, json={"code": code, "message": "no", "data": None})


class Api(httpx.AsyncBaseTransport):
    """Answers status reads by the clock, each after some seconds, and records their generations and times."""

    def __init__(self, answer: Answer, *, seconds: float = 0.05) -> None:
        self.polls: list[tuple[str, float]] = []
        self.under_way = self.most_under_way = 0
        self._answer = answer
        self._seconds = seconds
        self._began = asyncio.get_running_loop().time()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        now = asyncio.get_running_loop().time() - self._began
        self.polls.append((request.url.params["taskId"], now))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(self._seconds)
        self.under_way -= 1
        answer = self._answer(now)
        if isinstance(answer, BaseException):
            raise answer
        # A client wraps the stream of each response; one that is returned again and again would become slow.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def accepted(number: int = 1, *, age_seconds: float = 0, duration: int = 4) -> Attempt:
    """Return an attempt that the API accepted."""
    then = datetime.now(UTC) - timedelta(seconds=age_seconds)
    clip_input = ClipInput(mode="text-to-video", prompt="drifting clouds", duration=duration)
    intent = Intent(
        fingerprint=f"{number:032}",
        number=1,
        name=f"clip {number}",
        production="lighthouse",
        model="seedance-1-5-pro",
        base_url="https://api.apixo.ai",
        request=GenerateRequest(input=clip_input),
        asked_by="host process 7",
        asked_at=then,
        settles_by=then,
    )
    acceptance = Acceptance(generation_id=f"task_{number}", accepted_at=then)
    return Attempt(intent=intent, acceptance=acceptance)


@asynccontextmanager
async def polling(
    api: Api, waiting: Waiting = Waiting(), *, requests_per_minute: float = REQUESTS_PER_MINUTE
) -> AsyncIterator[Poller]:
    """Open a poller of this API."""
    async with (
        SeedanceClient("key", transport=api, requests_per_minute=requests_per_minute) as client,
        Poller(client, waiting=waiting) as poller,
    ):
        yield poller


def soon(seconds: float = HOUR) -> float:
    """Return a deadline."""
    return asyncio.get_running_loop().time() + seconds
