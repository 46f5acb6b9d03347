"""The sandbox as an ASGI application."""

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from prefect_seedance.sandbox.api import Api
from prefect_seedance.sandbox.books import Books
from prefect_seedance.sandbox.callbacks import CallbackSender
from prefect_seedance.sandbox.control import Control
from prefect_seedance.sandbox.engine import Engine
from prefect_seedance.sandbox.envelope import RefusalError, on_refusal
from prefect_seedance.sandbox.faults import Faults, load_plan
from prefect_seedance.sandbox.fetching import Fetcher
from prefect_seedance.sandbox.files import Files, Hosted
from prefect_seedance.sandbox.options import Settings
from prefect_seedance.sandbox.renderer import Renderer


def create_app(settings: Settings) -> Starlette:
    """Build a sandbox for an ASGI server or for httpx's ASGI transport.

    Raises:
        PlanError: The fault plan is invalid.
    """

    async def own_app(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    books = Books()
    faults = Faults(load_plan(settings.faults) if settings.faults else (), seed=settings.seed)
    renderer = Renderer(frame_rate=settings.frame_rate)
    fetcher = Fetcher(own_app)
    callback_sender = CallbackSender(books, speed=settings.speed)
    engine = Engine(
        settings,
        books=books,
        faults=faults,
        renderer=renderer,
        fetcher=fetcher,
        callback_sender=callback_sender,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await engine.reset()
        await fetcher.close()
        await callback_sender.close()
        renderer.close()

    app = Starlette(
        routes=[
            *Api(settings, books=books, faults=faults, engine=engine).routes(),
            *Files(books=books, faults=faults, lifetime_seconds=settings.result_lifetime_seconds).routes(),
            *(Hosted(settings.serve, books=books).routes() if settings.serve else ()),
            *Control(books=books, faults=faults, engine=engine).routes(),
        ],
        exception_handlers=dict.fromkeys(
            (RefusalError, HTTPException, ClientDisconnect, Exception), on_refusal
        ),
        lifespan=lifespan,
    )
    return app
