"""Faults of a submit that has been accepted, and will be billed, all the same."""

from starlette.types import ASGIApp

from prefect_seedance.sandbox.envelope import success
from prefect_seedance.sandbox.faults.answers import Answer, Drop, Garbage, Hang, HiddenCode
from prefect_seedance.sandbox.faults.fault import Call, Fault


class _Accepting(Fault):
    """Starts the generation before the other parent's fault strikes."""

    async def answer(self, call: Call) -> ASGIApp:
        """Accept, then do what the fault does."""
        await call.honest()
        return await super().answer(call)


class AcceptThenDrop(_Accepting, Drop):
    """Accept, then close the connection without an answer."""


class AcceptThenHang(_Accepting, Hang):
    """Accept, then give no answer."""


class AcceptThenAnswer(_Accepting, Answer):
    """Accept, then answer that something is wrong."""


class AcceptThenHiddenCode(_Accepting, HiddenCode):
    """Accept, then answer 200 with another code in the envelope."""


class AcceptThenGarbage(_Accepting, Garbage):
    """Accept, then answer nonsense."""


class AcceptWithoutId(Fault):
    """Accept, and answer success without a `taskId`."""

    async def answer(self, call: Call) -> ASGIApp:
        """Accept, and leave out what matters."""
        await call.honest()
        return success({})
