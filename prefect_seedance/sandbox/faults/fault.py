"""The base class of faults, which change a response or the fate of a generation."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from prefect_seedance.sandbox.fate import Fate

EVERY_STATE = frozenset({"pending", "processing", "success", "failed"})


@dataclass(frozen=True)
class Call:
    """A request, with the endpoint that handles it without faults."""

    request: Request
    endpoint: Callable[[Request], Awaitable[Response]]

    async def proceed(self) -> Response:
        """Handle the request according to the contract.

        Raises:
            RefusalError: The contract requires a refusal; a fault does not replace it.
        """
        return await self.endpoint(self.request)


class Fault(BaseModel):
    """A fault that changes nothing; subclasses override one of the two methods."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    states: ClassVar[frozenset[str]] = EVERY_STATE
    """The states of a generation to which the fault applies; a rule ignores the others."""

    async def respond(self, call: Call) -> ASGIApp:
        """Respond to a request."""
        return await call.proceed()

    def alter_fate(self, fate: Fate) -> Fate:
        """Change the fate of a generation."""
        return fate
