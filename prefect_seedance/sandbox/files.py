"""The files that clients can download: results, and a folder of their own images."""

from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prefect_seedance.sandbox.books import Books
from prefect_seedance.sandbox.clock import now
from prefect_seedance.sandbox.envelope import RefusalError
from prefect_seedance.sandbox.faults import Call, Faults, Subject


class Files:
    """Serve result files like a separate file host: without an API key, and with range requests."""

    def __init__(self, *, books: Books, faults: Faults, lifetime_seconds: float) -> None:
        self._books = books
        self._faults = faults
        self._lifetime_seconds = lifetime_seconds

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes of results; `/mirror` is the target of redirects and has no faults."""
        return [
            Route("/files/{task_id}-{number:int}.mp4", self.file, methods=["GET", "HEAD"]),
            Route("/mirror/{task_id}-{number:int}.mp4", self.mirror, methods=["GET", "HEAD"]),
        ]

    async def file(self, request: Request) -> ASGIApp:
        """Send a result file, subject to faults."""
        self._receive(request)
        account = self._books.accounts.get(request.path_params["task_id"])
        fault = self._faults.draw(Subject.of("file", account.generation if account else None))
        return self._counted(request, await fault.respond(Call(request, self._video)))

    async def mirror(self, request: Request) -> ASGIApp:
        """Send a result file without faults."""
        self._receive(request)
        return self._counted(request, await self._video(request))

    def _receive(self, request: Request) -> None:
        self._books.record_headers("file", path=request.url.path, headers=request.headers)
        self._books.receive_file_request(request.path_params["task_id"])

    def _counted(self, request: Request, response: ASGIApp) -> ASGIApp:
        task_id = request.path_params["task_id"]
        return Counted(response, lambda count: self._books.send_file_bytes(task_id, count))

    async def _video(self, request: Request) -> Response:
        account = self._books.accounts.get(request.path_params["task_id"])
        if account is None or request.path_params["number"] > account.generation.fate.videos:
            raise RefusalError(404, "the file does not exist")
        video, ended_at = account.generation.video, account.generation.ended_at
        if video is None:
            raise RefusalError(404, "the file does not exist yet")
        if now() - ended_at > self._lifetime_seconds:
            raise RefusalError(403, "the URL has expired")
        return FileResponse(video.path, headers={"etag": f'"{video.digest}"'})


class Hosted:
    """Serve a folder, so that local images have URLs."""

    def __init__(self, folder: Path, *, books: Books) -> None:
        self._files = StaticFiles(directory=folder)
        self._books = books

    def routes(self) -> Sequence[BaseRoute]:
        """Return the route of the folder."""
        return [Mount("/hosted", app=self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a file from the folder."""
        request = Request(scope)
        self._books.record_headers("hosted", path=request.url.path, headers=request.headers)
        await self._files(scope, receive, send)


class Counted:
    """A response whose body bytes are counted as they are sent."""

    def __init__(self, response: ASGIApp, count: Callable[[int], None]) -> None:
        self._response = response
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""

        async def counted(message: Message) -> None:
            await send(message)
            self._count(len(message.get("body", b"")))

        await self._response(scope, receive, counted)
