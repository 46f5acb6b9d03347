"""The files that can be fetched: results, and a folder of the caller's own."""

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
    """Serves results, as a host of its own would: without a key, and with ranges."""

    def __init__(self, *, books: Books, faults: Faults, lifetime_seconds: float) -> None:
        self._books = books
        self._faults = faults
        self._lifetime_seconds = lifetime_seconds

    def routes(self) -> Sequence[BaseRoute]:
        """Return where results are; the mirror is what a redirect leads to, and knows no faults."""
        return [
            Route("/files/{task_id}-{number:int}.mp4", self.file, methods=["GET", "HEAD"]),
            Route("/mirror/{task_id}-{number:int}.mp4", self.mirror, methods=["GET", "HEAD"]),
        ]

    async def file(self, request: Request) -> ASGIApp:
        """Send a result."""
        self._receive(request)
        account = self._books.accounts.get(request.path_params["task_id"])
        fault = self._faults.draw(Subject.of("file", account.generation if account else None))
        return self._counted(request, await fault.answer(Call(request, self._film)))

    async def mirror(self, request: Request) -> ASGIApp:
        """Send a result, come what may."""
        self._receive(request)
        return self._counted(request, await self._film(request))

    def _receive(self, request: Request) -> None:
        self._books.notice_headers("file", path=request.url.path, headers=request.headers)
        self._books.receive_file_request(request.path_params["task_id"])

    def _counted(self, request: Request, answer: ASGIApp) -> ASGIApp:
        task_id = request.path_params["task_id"]
        return Counted(answer, lambda count: self._books.send_file_bytes(task_id, count))

    async def _film(self, request: Request) -> Response:
        account = self._books.accounts.get(request.path_params["task_id"])
        if account is None or request.path_params["number"] > account.generation.fate.videos:
            raise RefusalError(404, "no such file")
        film, ended_at = account.generation.film, account.generation.ended_at
        if film is None:
            raise RefusalError(404, "no such file yet")
        if now() - ended_at > self._lifetime_seconds:
            raise RefusalError(403, "the URL has expired")
        return FileResponse(film.path, headers={"etag": f'"{film.digest}"'})


class Hosted:
    """Serves a folder, so that local images have URLs."""

    def __init__(self, folder: Path, *, books: Books) -> None:
        self._files = StaticFiles(directory=folder)
        self._books = books

    def routes(self) -> Sequence[BaseRoute]:
        """Return where the folder is."""
        return [Mount("/hosted", app=self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a file of the folder."""
        request = Request(scope)
        self._books.notice_headers("hosted", path=request.url.path, headers=request.headers)
        await self._files(scope, receive, send)


class Counted:
    """An answer whose bytes are counted on their way out."""

    def __init__(self, answer: ASGIApp, count: Callable[[int], None]) -> None:
        self._answer = answer
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""

        async def counted(message: Message) -> None:
            await send(message)
            self._count(len(message.get("body", b"")))

        await self._answer(scope, receive, counted)
