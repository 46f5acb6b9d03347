"""The sandbox's own endpoints, which read the books, reset the sandbox and script faults."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from prefect_seedance.sandbox.books import Books
from prefect_seedance.sandbox.contract import is_loopback
from prefect_seedance.sandbox.engine import Engine
from prefect_seedance.sandbox.envelope import RefusalError
from prefect_seedance.sandbox.faults import Faults, PlanError, read_plan


class Control:
    """Control of the sandbox from this machine only."""

    def __init__(self, *, books: Books, faults: Faults, engine: Engine) -> None:
        self._books = books
        self._faults = faults
        self._engine = engine

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes of the endpoints."""
        return [
            Route("/sandbox/books", self.books, methods=["GET"]),
            Route("/sandbox/reset", self.reset, methods=["POST"]),
            Route("/sandbox/faults", self.faults, methods=["GET"]),
            Route("/sandbox/faults", self.script, methods=["PUT"]),
            Route("/sandbox/faults", self.clear, methods=["DELETE"]),
        ]

    async def books(self, request: Request) -> JSONResponse:
        """Return the books."""
        _require_loopback(request)
        return JSONResponse(self._books.report())

    async def reset(self, request: Request) -> JSONResponse:
        """Stop all generations, empty the books, and restart the counters of all rules."""
        _require_loopback(request)
        await self._engine.reset()
        self._faults.restart()
        return JSONResponse(self._books.report())

    async def faults(self, request: Request) -> JSONResponse:
        """Return the active rules, and how often each has triggered."""
        _require_loopback(request)
        return JSONResponse(self._faults.report())

    async def script(self, request: Request) -> JSONResponse:
        """Replace the fault plan."""
        _require_loopback(request)
        try:
            self._faults.rules = read_plan(await request.json())
        except PlanError as error:
            raise RefusalError(400, str(error)) from error
        except ValueError as error:
            raise RefusalError(400, "the plan is not valid JSON") from error
        return JSONResponse(self._faults.report())

    async def clear(self, request: Request) -> JSONResponse:
        """Remove all faults."""
        _require_loopback(request)
        self._faults.rules = ()
        return JSONResponse(self._faults.report())


def _require_loopback(request: Request) -> None:
    if request.client is None or not is_loopback(request.client.host):
        raise RefusalError(403, "the sandbox accepts control requests from its own machine only")
