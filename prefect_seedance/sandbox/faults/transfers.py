"""Faults of a file on its way."""

from collections.abc import Callable
from random import Random
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from prefect_seedance.sandbox.envelope import refused
from prefect_seedance.sandbox.faults.fault import Call, Fault
from prefect_seedance.sandbox.faults.tampering import Clipped, Dripping, Flipped, Padded, Rangeless


class Truncate(Fault):
    """Break off at a byte, or at a share of the length.

    If `consistent`, the answer claims that this was all; otherwise it claims the full length and the
    connection is closed.
    """

    at_byte: Annotated[int, Field(ge=0)] | None = None
    at_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    consistent: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.at_byte is None) == (self.at_share is None):
            raise PydanticCustomError("place", "give either at_byte or at_share")
        return self

    def _place(self, length: int) -> int:
        return self.at_byte if self.at_byte is not None else int(length * (self.at_share or 0))

    async def answer(self, call: Call) -> ASGIApp:
        """Send the beginning."""
        declared: Callable[[int], int] = self._place if self.consistent else (lambda length: length)
        return Clipped(await call.honest(), sent=self._place, declared=declared)


class WrongLength(Fault):
    """Claim a length that is `by` bytes more, or if negative fewer, than the file has."""

    by: int

    async def answer(self, call: Call) -> ASGIApp:
        """Send the file under a wrong length."""
        return Clipped(
            await call.honest(), sent=lambda length: length, declared=lambda length: length + self.by
        )


class FlipBits(Fault):
    """Turn over some bits, always the same ones for one `seed` and length."""

    count: Annotated[int, Field(ge=1)] = 1
    seed: int = 0

    async def answer(self, call: Call) -> ASGIApp:
        """Send a damaged file."""
        chance = Random(self.seed)  # noqa: S311  # nothing secret
        return Flipped(await call.honest(), count=self.count, chance=chance)


class Html(Fault):
    """Send a web page instead of the video, with status 200."""

    async def answer(self, _call: Call) -> ASGIApp:
        """Send a page."""
        return HTMLResponse("<!doctype html><title>Please wait</title><p>Your download will begin shortly.")


class Empty(Fault):
    """Send a video of no bytes."""

    async def answer(self, _call: Call) -> ASGIApp:
        """Send nothing."""
        return Response(b"", media_type="video/mp4")


class Expired(Fault):
    """Say that the URL has expired."""

    async def answer(self, _call: Call) -> ASGIApp:
        """Refuse."""
        return refused(403, "the URL has expired")


class Redirect(Fault):
    """Lead to another host: to `to`, or to this sandbox under its other loopback name."""

    to: Annotated[str, Field(min_length=1)] | None = None

    async def answer(self, call: Call) -> ASGIApp:
        """Point elsewhere."""
        here = call.request.url
        other = "localhost" if here.hostname != "localhost" else "127.0.0.1"
        mirror = here.replace(hostname=other, path=here.path.replace("/files/", "/mirror/"))
        return RedirectResponse(self.to or mirror, status_code=302)


class Drip(Fault):
    """Send the file slowly."""

    bytes_per_second: Annotated[int, Field(ge=10)]

    async def answer(self, call: Call) -> ASGIApp:
        """Send it drop by drop."""
        return Dripping(await call.honest(), bytes_per_second=self.bytes_per_second)


class Huge(Fault):
    """Send the whole file and megabytes of MP4 padding after it, so that it is long and yet valid."""

    megabytes: Annotated[int, Field(ge=1)]

    async def answer(self, call: Call) -> ASGIApp:
        """Send far too much."""
        return Rangeless(Padded(await call.honest(), padding_bytes=self.megabytes * 1_000_000))


class NoRange(Fault):
    """Send the whole file, whatever range was asked for."""

    async def answer(self, call: Call) -> ASGIApp:
        """Ignore the range."""
        return Rangeless(await call.honest())
