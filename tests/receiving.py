"""A callback receiver over ASGI, with a scripted API behind it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx

from prefect_seedance.api.callback_urls import AttemptRef, Secrets
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Intent
from prefect_seedance.receiver import Receiver, create_app
from prefect_seedance.storage.store import Store

SECRETS = Secrets.parse("a-secret-of-runs-and-receiver-alike")
SUBMITTED_AT = datetime.now(UTC)


class StatusApi(httpx.AsyncBaseTransport):
    """Gives the same answer to every status read, and records ids and times; without data, it is 404."""

    def __init__(self, **data: object) -> None:
        self.data = data
        self.reads: list[tuple[str, float]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.reads.append((request.url.params["taskId"], asyncio.get_running_loop().time()))
        if not self.data:
            return httpx.Response(404, json={"code": 404, "message": "no such task", "data": None})
        return httpx.Response(200, json={"code": 200, "message": "", "data": self.data})


def succeeding(created_at: datetime = SUBMITTED_AT) -> StatusApi:
    """Return an API whose generations have succeeded."""
    urls = json.dumps({"resultUrls": ["https://cdn/clip.mp4"]})
    return StatusApi(state="success", resultJson=urls, createTime=round(created_at.timestamp() * 1000))


def intent(number: int = 1, *, settles_in: float = 0.0) -> Intent:
    """Return the intent of an attempt with a callback."""
    return Intent(
        fingerprint=f"{number:032}",
        number=1,
        name=f"clip {number}",
        production="lighthouse",
        model="seedance-1-5-pro",
        base_url="https://api.apixo.ai",
        request=GenerateRequest(
            request_type="callback",
            callback_url="https://hooks.example.com",
            input=ClipInput(mode="text-to-video", prompt="drifting clouds"),
        ),
        asked_by="host process 7",
        asked_at=SUBMITTED_AT,
        settles_by=datetime.now(UTC) + timedelta(seconds=settles_in),
    )


def path(of: Intent) -> str:
    """Return the path of an attempt's callback URL."""
    return f"/callbacks/{SECRETS.token(AttemptRef(of.fingerprint, of.number))}"


class Setup:
    """A receiver, its archive, and the outcomes it reported."""

    def __init__(self, store: Store, api: StatusApi) -> None:
        self.api = api
        self.store = store
        self.ledger = Ledger(store)
        self.reported: list[Attempt] = []
        self.http: httpx.AsyncClient
        self.receiver: Receiver

    async def submit(self, number: int = 1, *, accepted_as: str = "", settles_in: float = 0.0) -> str:
        """Record an attempt, and return the path of its callback URL."""
        attempt = await self.ledger.claim(intent(number, settles_in=settles_in))
        assert attempt
        if accepted_as:
            await self.ledger.accept(attempt, accepted_as)
        return path(attempt.intent)

    async def call(self, path: str, generation_id: str = "task_1") -> int:
        """Send a callback as the API does, and return the status code of the response."""
        body = {"code": 200, "message": "success", "data": {"taskId": generation_id, "state": "success"}}
        return (await self.http.post(path, json=body)).status_code

    async def attempt(self, number: int = 1, *, seconds: float = 10.0) -> Attempt:
        """Return an attempt once its outcome is reported, or after a while."""
        clock = asyncio.get_running_loop().time
        latest = clock() + seconds
        while number not in {int(each.intent.fingerprint) for each in self.reported} and clock() < latest:
            await asyncio.sleep(0.02)
        attempt = await self.ledger.attempt(f"{number:032}", 1)
        assert attempt
        return attempt


@asynccontextmanager
async def receiving(store: Store, api: StatusApi) -> AsyncIterator[Setup]:
    """Open a receiver as a server does."""
    setup = Setup(store, api)
    client = SeedanceClient("key", transport=api)
    receiver = Receiver(store, client=client, secrets=SECRETS, on_outcome=setup.reported.append)
    setup.receiver = receiver
    transport = httpx.ASGITransport(create_app(receiver))
    async with receiver, httpx.AsyncClient(transport=transport, base_url="http://receiver") as setup.http:
        yield setup
