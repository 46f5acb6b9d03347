"""The envelope of every API response."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse


class RefusalError(Exception):
    """The API refuses a request, with an HTTP status and a reason."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def enveloped(data: object, *, code: int = 200, message: str = "success") -> dict[str, object]:
    """Wrap data in the envelope of status responses and callbacks."""
    return {"code": code, "message": message, "data": data}


def success(data: object) -> JSONResponse:
    """Return a successful response."""
    return JSONResponse(enveloped(data))


def refused(code: int, message: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error response, with the same code in HTTP and in the envelope."""
    return JSONResponse(enveloped(None, code=code, message=message), status_code=code, headers=headers)


def on_refusal(_: Request, error: Exception) -> JSONResponse:
    """Turn a refusal, or one of Starlette's own errors, into an enveloped response."""
    if isinstance(error, RefusalError):
        return refused(error.code, error.message)
    if isinstance(error, HTTPException):
        return refused(error.status_code, error.detail, headers=error.headers)
    if isinstance(error, ClientDisconnect):
        return refused(400, "the client disconnected")  # no client is left to read it
    return refused(500, "internal error in the sandbox")
