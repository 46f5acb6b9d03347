"""Faults of a submit that has been accepted, and will be billed, all the same."""

from starlette.responses import Response
from starlette.types import ASGIApp

from prefect_seedance.sandbox.envelope import success
from prefect_seedance.sandbox.faults.answers import Answer, Drop, Garbage, Hang, HiddenCode
from prefect_seedance.sandbox.faults.fault import Call, Fault


class _Accepting(Fault):
    """Starts the generation before the other parent's fault strikes; a refusal stays a refusal."""

    async def answer(self, call: Call) -> ASGIApp:
        """Accept, then do what the fault does."""
        honest = await call.honest()
        if not is_success(honest):
            return honest
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
        honest = await call.honest()
        return success({}) if is_success(honest) else honest


def is_success(answer: ASGIApp) -> bool:
    """Tell whether the sandbox did what it was asked for."""
    return isinstance(answer, Response) and answer.status_code < 400  # noqa: PLR2004  # HTTP's errors begin here
