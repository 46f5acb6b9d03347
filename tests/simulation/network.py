"""The wire between a process and the scripted API."""

import asyncio
import json

import httpx

from prefect_seedance.api.permit import check_permit
from tests.simulation.api import KEY, Post, Reply, ScriptedApi, envelope, is_submission
from tests.simulation.clock import Process

_TRIP_SECONDS = 0.05
"""Time until a request or an answer is at the other end."""


class Wire(httpx.AsyncBaseTransport):
    """Carries the requests of one process, as httpx's own transport does."""

    def __init__(self, api: ScriptedApi, process: Process) -> None:
        self._api = api
        self._process = process
        self._downloads: dict[str, int] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_paid = is_submission(request)
        reply = self._api.next_reply() if is_paid else Reply()
        await self._connect(request, is_refused=reply.breaks == "before")
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("read")):
                return await (self._submit(request, reply) if is_paid else self._get(request))
        except TimeoutError:
            raise httpx.ReadTimeout("", request=request) from None

    async def _connect(self, request: httpx.Request, *, is_refused: bool) -> None:
        def connect() -> None:
            if is_refused:
                raise httpx.ConnectError("connection refused", request=request)

        await self._process.exchange(connect, arrives=_TRIP_SECONDS, answers=_TRIP_SECONDS)
        if is_submission(request):
            check_permit()  # before the head
            await asyncio.sleep(0)
            check_permit()  # before the body, without which nothing arrives

    async def _submit(self, request: httpx.Request, reply: Reply) -> httpx.Response:
        process, api = self._process, self._api
        post = Post(process.name, process.world.now, process.time_of_day(), json.loads(request.content))
        if not request.headers["Authorization"].startswith(f"Bearer {KEY}-"):
            api.violations.append("a submission without the key")
        api.posts.append(post)
        api.on_send(post)

        def arrive() -> httpx.Response:
            response = api.accept(post, reply)
            if reply.breaks:
                raise httpx.ReadError("connection reset", request=request)
            return response

        answer = await process.exchange(arrive, arrives=_TRIP_SECONDS, answers=reply.seconds)
        for sold in api.books.values():
            sold.reached |= sold.post is post and reply.names_id
        return answer

    async def _get(self, request: httpx.Request) -> httpx.Response:
        def answer() -> httpx.Response:
            if request.url.host == "api.example":
                return self._api.answer(request)
            if "Authorization" in request.headers:
                self._api.violations.append(f"the key was sent to {request.url.host}")
            url = str(request.url)
            number = self._downloads[url] = self._downloads.get(url, -1) + 1
            return self._api.file(request, number)

        if not request.url.host.endswith(".example"):
            return envelope(404)
        return await self._process.exchange(answer, arrives=_TRIP_SECONDS, answers=_TRIP_SECONDS)
