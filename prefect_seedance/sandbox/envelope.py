"""The envelope that every answer of the API comes in."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse


class RefusalError(Exception):
    """The API says no, with an HTTP status and a reason."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def enveloped(data: object, *, code: int = 200, message: str = "success") -> dict[str, object]:
    """Wrap data the way status answers and callbacks carry it."""
    return {"code": code, "message": message, "data": data}


def success(data: Mapping[str, object]) -> JSONResponse:
    """Answer that all went well."""
    return JSONResponse(enveloped(data))


def refused(code: int, message: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Answer that something is wrong, with the same code in HTTP and in the envelope."""
    return JSONResponse(enveloped(None, code=code, message=message), status_code=code, headers=headers)


def on_refusal(_: Request, error: Exception) -> JSONResponse:
    """Turn a refusal, or Starlette's own no such page or method, into an envelope."""
    if isinstance(error, RefusalError):
        return refused(error.code, error.message)
    if isinstance(error, HTTPException):
        return refused(error.status_code, error.detail, headers=error.headers)
    if isinstance(error, ClientDisconnect):
        return refused(400, "the request broke off")  # which nobody is there to read
    return refused(500, "internal error of the sandbox")
