"""Read an answer of the API: the data it carries, or the error that it is."""

import email.utils
from collections.abc import Mapping
from datetime import UTC, datetime

import httpx

from prefect_seedance.api.wire import Envelope, parse_envelope
from prefect_seedance.errors import (
    ApiError,
    AuthenticationError,
    ContentRejectedError,
    InsufficientFundsError,
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    RateLimitedError,
    SeedanceError,
    ServerError,
)

_ERRORS: Mapping[int, type[ApiError]] = {
    401: AuthenticationError,
    402: InsufficientFundsError,
    403: ContentRejectedError,
    404: NotFoundError,
    408: ServerError,  # a gateway's: it may have passed the request on before it lost patience
}
_CLASSES: Mapping[int, type[ApiError]] = {4: InvalidRequestError, 5: ServerError}


def data(response: httpx.Response) -> object:
    """Return a good answer's ``data``.

    Neither the HTTP status nor the envelope's code is trusted alone: both must be good.

    Raises:
        SeedanceError: The error that the answer is.
    """
    envelope = parse_envelope(response.content)
    if response.is_client_error and envelope and _contradicts(envelope):
        raise NoAnswerError(f"The API answered {response.status_code}, and {envelope.code} inside")
    if not response.is_success:
        said = envelope.message if envelope else ""
        raise _error(response.status_code, said or response.reason_phrase, response)
    if envelope is None:
        raise NoAnswerError(f"The answer is not the API's: {_without_key(response.text, response)[:200]!r}")
    if envelope.code != httpx.codes.OK:
        raise _error(envelope.code, envelope.message, response)
    return envelope.data


def _contradicts(envelope: Envelope) -> bool:
    """Tell whether something may have been started, though the HTTP status refuses."""
    return envelope.code == httpx.codes.OK or envelope.code >= httpx.codes.INTERNAL_SERVER_ERROR


def _error(code: int, said: str, response: httpx.Response) -> SeedanceError:
    message = f"The API answered {code}: {_without_key(said, response)[:500]}"
    if code == httpx.codes.TOO_MANY_REQUESTS:
        pause = _retry_after_seconds(response.headers.get("Retry-After", ""))
        return RateLimitedError(message, code=code, retry_after_seconds=pause)
    refusal = _ERRORS.get(code) or _CLASSES.get(code // 100)
    return refusal(message, code=code) if refusal else NoAnswerError(message)


def _without_key(said: str, response: httpx.Response) -> str:
    """Keep the key out of errors even where the API repeats what it was sent."""
    key = response.request.headers.get("Authorization", "").removeprefix("Bearer ")
    return said.replace(key, "[the key]") if key else said


def _retry_after_seconds(header: str) -> float | None:
    """Read ``Retry-After``, which is a number of seconds or a date."""
    if header.isdecimal():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # HTTP knows no other zone
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
