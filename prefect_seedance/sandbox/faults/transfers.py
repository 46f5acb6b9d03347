"""Faults of file downloads."""

from collections.abc import Callable
from random import Random
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from prefect_seedance.sandbox.envelope import refused
from prefect_seedance.sandbox.faults.fault import Call, Fault
from prefect_seedance.sandbox.faults.tampering import Dripping, Flipped, Padded, Rangeless, Truncated


class Truncate(Fault):
    """Stop at a byte, or at a share of the length.

    If `consistent`, the response declares the shorter length; otherwise it declares the full length and
    closes the connection.
    """

    at_byte: Annotated[int, Field(ge=0)] | None = None
    at_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    consistent: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.at_byte is None) == (self.at_share is None):
            raise PydanticCustomError("position", "give either at_byte or at_share")
        return self

    def _position(self, length: int) -> int:
        return self.at_byte if self.at_byte is not None else int(length * (self.at_share or 0))

    async def respond(self, call: Call) -> ASGIApp:
        """Send the beginning of the file."""
        declared: Callable[[int], int] = self._position if self.consistent else (lambda length: length)
        return Truncated(await call.proceed(), sent=self._position, declared=declared)


class WrongLength(Fault):
    """Declare a length that differs from the file's by `by` bytes, which may be negative."""

    by: int

    async def respond(self, call: Call) -> ASGIApp:
        """Send the file with the wrong length."""
        return Truncated(
            await call.proceed(), sent=lambda length: length, declared=lambda length: length + self.by
        )


class FlipBits(Fault):
    """Invert some bits, which depend on `seed` and the length only."""

    count: Annotated[int, Field(ge=1)] = 1
    seed: int = 0

    async def respond(self, call: Call) -> ASGIApp:
        """Send a damaged file."""
        chance = Random(self.seed)  # noqa: S311 -- not used for security
        return Flipped(await call.proceed(), count=self.count, chance=chance)


class Html(Fault):
    """Send a web page instead of the video, with status 200."""

    async def respond(self, _call: Call) -> ASGIApp:
        """Send the page."""
        return HTMLResponse("<!doctype html><title>Please wait</title><p>Your download will begin shortly.")


class Empty(Fault):
    """Send an empty video."""

    async def respond(self, _call: Call) -> ASGIApp:
        """Send an empty body."""
        return Response(b"", media_type="video/mp4")


class Expired(Fault):
    """Refuse with 403, because the URL has expired."""

    async def respond(self, _call: Call) -> ASGIApp:
        """Refuse the request."""
        return refused(403, "the URL has expired")


class Redirect(Fault):
    """Redirect to `to`, or by default to this sandbox under its other loopback name."""

    to: Annotated[str, Field(min_length=1)] | None = None

    async def respond(self, call: Call) -> ASGIApp:
        """Send the redirect."""
        here = call.request.url
        other = "localhost" if here.hostname != "localhost" else "127.0.0.1"
        mirror = here.replace(hostname=other, path=here.path.replace("/files/", "/mirror/"))
        return RedirectResponse(self.to or mirror, status_code=302)


class Drip(Fault):
    """Send the file slowly."""

    bytes_per_second: Annotated[int, Field(ge=10)]

    async def respond(self, call: Call) -> ASGIApp:
        """Send the file at the given rate."""
        return Dripping(await call.proceed(), bytes_per_second=self.bytes_per_second)


class Huge(Fault):
    """Send the whole file followed by megabytes of MP4 padding, so that it is large but valid."""

    megabytes: Annotated[int, Field(ge=1)]

    async def respond(self, call: Call) -> ASGIApp:
        """Send the file and the padding."""
        return Rangeless(Padded(await call.proceed(), padding_bytes=self.megabytes * 1_000_000))


class NoRange(Fault):
    """Send the whole file and ignore the requested range."""

    async def respond(self, call: Call) -> ASGIApp:
        """Send the whole file."""
        return Rangeless(await call.proceed())
