"""The endpoints of the Seedance API."""

import json
import secrets
from collections.abc import Sequence

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from prefect_seedance.sandbox.books import Books
from prefect_seedance.sandbox.contract import Submission, first_error
from prefect_seedance.sandbox.engine import Engine
from prefect_seedance.sandbox.envelope import RefusalError, success
from prefect_seedance.sandbox.faults import Call, Faults, Subject
from prefect_seedance.sandbox.models import models_from
from prefect_seedance.sandbox.options import Settings

_BALANCE = 1_000.0
"""In US dollars."""


class Api:
    """Handle submissions, status reads and balance reads."""

    def __init__(self, settings: Settings, *, books: Books, faults: Faults, engine: Engine) -> None:
        self._keys = [key for key in (settings.api_key, settings.other_api_key) if key]
        self._models = models_from(settings.models)
        self._requests_per_minute = settings.requests_per_minute
        self._books = books
        self._faults = faults
        self._engine = engine

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes of the endpoints."""
        return [
            Route("/api/v1/generateTask/{model}", self.submit, methods=["POST"]),
            Route("/api/v1/statusTask/{model}", self.status, methods=["GET"]),
            Route("/api/v1/apikeys/current-balance", self.balance, methods=["GET"]),
        ]

    async def submit(self, request: Request) -> ASGIApp:
        """Start a generation."""
        self._books.receive_submit()
        model = request.path_params["model"]
        fault = self._faults.draw(Subject("submit", clip=_prompt(await request.body()), model=model))
        return await fault.respond(Call(request, self._accept))

    async def status(self, request: Request) -> ASGIApp:
        """Return the status of a generation."""
        task_id = request.query_params.get("taskId", "")
        self._books.receive_status_read(task_id)
        account = self._books.accounts.get(task_id)
        fault = self._faults.draw(Subject.of("status", account.generation if account else None))
        return await fault.respond(Call(request, self._read_status))

    async def balance(self, request: Request) -> ASGIApp:
        """Return the balance, which no generation reduces: the sandbox is free."""
        self._books.received.add()
        return await self._faults.draw(Subject("balance")).respond(Call(request, self._read_balance))

    async def _read_balance(self, request: Request) -> Response:
        self._authorize(request)
        return success(_BALANCE)

    async def _accept(self, request: Request) -> Response:
        key = self._authorize(request)
        model = request.path_params["model"]
        accepted = self._models[self._require_known_model(model)]
        content_type = request.headers.get("content-type", "")
        submission = _submission(accepted, await request.body(), content_type=content_type)
        origin = str(request.base_url).rstrip("/")
        generation = await self._engine.accept(submission, model=model, api_key=key, origin=origin)
        return success({"taskId": generation.task_id})

    async def _read_status(self, request: Request) -> Response:
        key = self._authorize(request)
        model = self._require_known_model(request.path_params["model"])
        task_id = request.query_params.get("taskId", "")
        if not task_id:
            raise RefusalError(400, "taskId: required in the query")
        account = self._books.accounts.get(task_id)
        if account is None or (account.generation.api_key, account.generation.model) != (key, model):
            raise RefusalError(404, f"taskId: no such task {task_id}")
        return success(account.generation.status())

    def _require_known_model(self, model: str) -> str:
        if model not in self._models:
            known = ", ".join(self._models)
            raise RefusalError(404, f"model: unknown model {model}; known models: {known}")
        return model

    def _authorize(self, request: Request) -> str:
        """Return the request's API key after checking it and the rate limit."""
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        keys = [key for key in self._keys if secrets.compare_digest(key.encode(), sent.strip().encode())]
        if scheme.lower() != "bearer" or not keys:
            raise RefusalError(401, "the API key is missing or invalid; send Authorization: Bearer KEY")
        if self._books.admitted.count() >= self._requests_per_minute:
            self._books.over_limits += 1
            raise RefusalError(
                429, f"rate limit: more than {self._requests_per_minute} requests within a minute"
            )
        self._books.admitted.add()
        return keys[0]


def _submission(accepted: type[Submission], body: bytes, *, content_type: str) -> Submission:
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise RefusalError(400, "Content-Type: must be application/json")
    try:
        return accepted.model_validate_json(body)
    except ValidationError as error:
        raise RefusalError(400, first_error(error)) from error


def _prompt(body: bytes) -> str:
    """Return the prompt of a request body, or an empty string if it cannot be found."""
    try:
        return str(json.loads(body)["input"]["prompt"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
