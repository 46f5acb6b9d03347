"""What every fault is: a change to an answer, or to the fate of a generation."""

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
    """A request, and what the sandbox does with it if nothing goes wrong."""

    request: Request
    endpoint: Callable[[Request], Awaitable[Response]]

    async def honest(self) -> Response:
        """Do and answer what the contract says.

        Raises:
            RefusalError: The contract says no; that stays so, whatever the fault.
        """
        return await self.endpoint(self.request)


class Fault(BaseModel):
    """No fault at all; its heirs override one of the two methods."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    strikes: ClassVar[frozenset[str]] = EVERY_STATE
    """The states of a generation in which the fault shows; elsewhere a rule does not count."""

    async def answer(self, call: Call) -> ASGIApp:
        """Answer a request."""
        return await call.honest()

    def foretell(self, fate: Fate) -> Fate:
        """Decide how a generation will go."""
        return fate
