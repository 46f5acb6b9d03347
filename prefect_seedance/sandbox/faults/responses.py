"""Faults that replace or delay a response."""

import asyncio
from typing import Annotated

from pydantic import Field
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from prefect_seedance.sandbox.connection import Dropped, Hung
from prefect_seedance.sandbox.envelope import enveloped, refused, success
from prefect_seedance.sandbox.faults.fault import Call, Fault

Seconds = Annotated[float, Field(ge=0)]


class Drop(Fault):
    """Close the connection without a response, in order or by a reset."""

    reset: bool = False

    async def respond(self, _call: Call) -> ASGIApp:
        """Drop the connection."""
        return Dropped(reset=self.reset)


class Hang(Fault):
    """Send no response and keep the connection open until the client disconnects or the time is over."""

    seconds: Seconds = 3600.0

    async def respond(self, _call: Call) -> ASGIApp:
        """Keep the client waiting."""
        return Hung(seconds=self.seconds)


class Slow(Fault):
    """Wait, then handle the request as usual."""

    seconds: Seconds

    async def respond(self, call: Call) -> ASGIApp:
        """Respond late."""
        await asyncio.sleep(self.seconds)
        return await call.proceed()


class Answer(Fault):
    """Refuse with an HTTP status; `retry_after` is sent unchanged, as seconds or a date."""

    status: Annotated[int, Field(ge=400, le=599)]
    message: str = "a scripted fault"
    retry_after: int | str | None = None

    async def respond(self, _call: Call) -> ASGIApp:
        """Refuse the request."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return refused(self.status, self.message, headers=headers)


class AnnounceEnd(Fault):
    """Respond as usual, with headers that announce the end of a model; each is sent unchanged."""

    deprecation: str | None = None
    sunset: str | None = None
    link: str | None = None

    async def respond(self, call: Call) -> ASGIApp:
        """Add the headers."""
        response = await call.proceed()
        response.headers.update(self.model_dump(exclude_none=True))
        return response


class Amount(Fault):
    """Report a balance."""

    dollars: float

    async def respond(self, call: Call) -> ASGIApp:
        """Replace the amount."""
        await call.proceed()
        return success(self.dollars)


class HiddenCode(Fault):
    """Respond with HTTP 200 and an error code in the envelope."""

    code: Annotated[int, Field(ge=201)]
    message: str = "a scripted fault"

    async def respond(self, _call: Call) -> ASGIApp:
        """Refuse the request in the envelope."""
        return JSONResponse(enveloped(None, code=self.code, message=self.message))


class Garbage(Fault):
    """Respond with HTTP 200 and invalid JSON that is declared as JSON."""

    async def respond(self, _call: Call) -> ASGIApp:
        """Send invalid JSON."""
        return Response(b'{"code": 200, "message": "succ\xff\xfe\x00', media_type="application/json")
