"""Faults that put something else in the place of an answer."""

import asyncio
from typing import Annotated

from pydantic import Field
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from prefect_seedance.sandbox.connection import Dropped, Hung
from prefect_seedance.sandbox.envelope import enveloped, refused
from prefect_seedance.sandbox.faults.fault import Call, Fault

Seconds = Annotated[float, Field(ge=0)]


class Drop(Fault):
    """Close the connection without an answer, orderly or by a reset."""

    reset: bool = False

    async def answer(self, _call: Call) -> ASGIApp:
        """Drop the connection."""
        return Dropped(reset=self.reset)


class Hang(Fault):
    """Give no answer and keep the connection open until the client leaves or the time is over."""

    seconds: Seconds = 3600.0

    async def answer(self, _call: Call) -> ASGIApp:
        """Let the client wait."""
        return Hung(seconds=self.seconds)


class Slow(Fault):
    """Wait, then do and answer as usual."""

    seconds: Seconds

    async def answer(self, call: Call) -> ASGIApp:
        """Answer late."""
        await asyncio.sleep(self.seconds)
        return await call.honest()


class Answer(Fault):
    """Refuse with an HTTP status; `retry_after` is sent as it stands, seconds or a date."""

    status: Annotated[int, Field(ge=400, le=599)]
    message: str = "a scripted fault"
    retry_after: int | str | None = None

    async def answer(self, _call: Call) -> ASGIApp:
        """Refuse."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return refused(self.status, self.message, headers=headers)


class HiddenCode(Fault):
    """Refuse in the envelope only, inside an HTTP 200."""

    code: Annotated[int, Field(ge=201)]
    message: str = "a scripted fault"

    async def answer(self, _call: Call) -> ASGIApp:
        """Refuse, and look well."""
        return JSONResponse(enveloped(None, code=self.code, message=self.message))


class Garbage(Fault):
    """Answer 200 with bytes that are no JSON, though they claim to be."""

    async def answer(self, _call: Call) -> ASGIApp:
        """Answer nonsense."""
        return Response(b'{"code": 200, "message": "succ\xff\xfe\x00', media_type="application/json")
