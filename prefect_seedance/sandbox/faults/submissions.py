"""Faults of submissions that are accepted, and billed, nevertheless."""

from starlette.types import ASGIApp

from prefect_seedance.sandbox.envelope import success
from prefect_seedance.sandbox.faults.fault import Call, Fault
from prefect_seedance.sandbox.faults.responses import Answer, Drop, Garbage, Hang, HiddenCode


class _Accepting(Fault):
    """Start the generation before the fault of the other base class occurs."""

    async def respond(self, call: Call) -> ASGIApp:
        """Accept the submission, then apply the fault."""
        await call.proceed()
        return await super().respond(call)


class AcceptThenDrop(_Accepting, Drop):
    """Accept, then close the connection without a response."""


class AcceptThenHang(_Accepting, Hang):
    """Accept, then send no response."""


class AcceptThenAnswer(_Accepting, Answer):
    """Accept, then respond with an error status."""


class AcceptThenHiddenCode(_Accepting, HiddenCode):
    """Accept, then respond with HTTP 200 and an error code in the envelope."""


class AcceptThenGarbage(_Accepting, Garbage):
    """Accept, then respond with invalid JSON."""


class AcceptWithoutId(Fault):
    """Accept, and respond with success but without a `taskId`."""

    async def respond(self, call: Call) -> ASGIApp:
        """Accept the submission and omit the id."""
        await call.proceed()
        return success({})
