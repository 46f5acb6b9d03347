"""Parse a response of the API into its data or an error."""

import email.utils
import math
from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal

import httpx

from prefect_seedance.api import wall_clock
from prefect_seedance.api.redirects import redirection
from prefect_seedance.api.wire import Envelope, is_generation_id, parse_envelope
from prefect_seedance.errors import (
    ApiError,
    AuthenticationError,
    BlockedError,
    ContentRejectedError,
    InsufficientFundsError,
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    RateLimitedError,
    SeedanceError,
    ServerError,
    means_no_money,
)
from prefect_seedance.printable import one_line

_ERRORS: Mapping[int, type[ApiError]] = {
    401: AuthenticationError,
    402: InsufficientFundsError,
    403: ContentRejectedError,
    404: NotFoundError,
    408: ServerError,  # sent by a gateway, which may have forwarded the request before its timeout
}
_CLIENT_ERROR, _SERVER_ERROR = 4, 5
"""Hundreds of codes."""

_CLASSES: Mapping[int, type[ApiError]] = {_CLIENT_ERROR: InvalidRequestError, _SERVER_ERROR: ServerError}
_OF_GATEWAYS = {408, 429}
"""Refusals with the same meaning, whether the API sends them or a gateway before it."""

_EXCERPT_CHARACTERS = 100
_REMEDIES: Mapping[int, str] = {401: "; check the API key", 402: "; add credit to the account"}


def parse_response(response: httpx.Response) -> object:
    """Return the ``data`` of a successful response.

    A response is successful only if both its HTTP status and its envelope's code are. A refusal without an
    envelope is not the API's: it shows that nothing was started, and nothing about key, balance or content.

    Raises:
        SeedanceError: The error that the response reports.
    """
    envelope, code = parse_envelope(response.content), response.status_code
    if (response.is_client_error or response.is_redirect) and envelope and _may_have_started(envelope):
        raise NoAnswerError(f"The API answered with status {code}, but with code {envelope.code} in the body")
    if response.is_redirect:
        raise redirection(response)
    if response.is_client_error and code not in _OF_GATEWAYS and not _is_refusal(envelope):
        raise _blocked(response)
    if not response.is_success:
        message = envelope.message if envelope else ""
        raise _error(response.status_code, message or response.reason_phrase, response)
    if envelope is None:
        excerpt = _without_key(response.text, response)[:200]
        raise NoAnswerError(f"The response is not in the API's format: {excerpt!r}")
    if envelope.code != httpx.codes.OK:
        raise _error(envelope.code, envelope.message, response)
    return envelope.data


def submitted_id(data: object) -> str:
    """Return the generation's id in the ``data`` of the response to a submission.

    Raises:
        NoAnswerError: If there is none, although a generation may have been started.
    """
    generation_id = data.get("taskId") if isinstance(data, dict) else None
    if not is_generation_id(generation_id):
        raise NoAnswerError(f"The response to the submission has no usable taskId: {data!r:.200}")
    return generation_id


def balance_in(data: object) -> Decimal:
    """Return the balance in the ``data`` of the response to a balance request.

    Raises:
        NoAnswerError: If it is not a number.
    """
    if isinstance(data, bool) or not isinstance(data, int | float) or not math.isfinite(data):
        raise NoAnswerError(f"The response to the balance is not a number: {str(data)[:200]}")
    return Decimal(str(data))


def checked_id(generation_id: str) -> str:
    """Return an id unchanged, before it is sent.

    Raises:
        NotFoundError: If the API knows no such id, because it cannot be one.
    """
    if not is_generation_id(generation_id):
        raise NotFoundError(f"{generation_id!r:.220} is not an id of the API; nothing was requested")
    return generation_id


def _may_have_started(envelope: Envelope) -> bool:
    """Return whether a generation may have been started although the HTTP status is an error."""
    return envelope.code == httpx.codes.OK or envelope.code // 100 == _SERVER_ERROR


def _is_refusal(envelope: Envelope | None) -> bool:
    return envelope is not None and envelope.code // 100 == _CLIENT_ERROR


def _blocked(response: httpx.Response) -> SeedanceError:
    """Return the error of a refusal that is not the API's; a read is repeated after it."""
    excerpt = one_line(_without_key(response.text, response), limit=_EXCERPT_CHARACTERS)
    answer = f"The answer {response.status_code} is not in the API's format, so a firewall or proxy refused"
    if response.request.method != "POST":
        return NoAnswerError(f"{answer} the request: {excerpt!r}")
    return BlockedError(
        f"{answer} the submission, and nothing was started. Check the base URL, and whether this machine may "
        f"use the API; then run again. The answer begins with {excerpt!r}",
        code=response.status_code,
    )


def _error(code: int, reason: str, response: httpx.Response) -> SeedanceError:
    message = f"The API answered {code}: {one_line(_without_key(reason, response))}{_REMEDIES.get(code, '')}"
    if code == httpx.codes.TOO_MANY_REQUESTS:
        pause = _retry_after_seconds(response.headers.get("Retry-After", ""))
        return RateLimitedError(message, code=code, retry_after_seconds=pause)
    if 400 <= code < 500 and means_no_money(reason):  # noqa: PLR2004 -- the codes of refusals
        return InsufficientFundsError(f"{message.removesuffix(_REMEDIES[402])}{_REMEDIES[402]}", code=code)
    kind = _ERRORS.get(code) or _CLASSES.get(code // 100)
    return kind(message, code=code) if kind else NoAnswerError(message)


def _without_key(text: str, response: httpx.Response) -> str:
    """Replace the API key, in case the response repeats the request's headers."""
    key = response.request.headers.get("Authorization", "").removeprefix("Bearer ")
    return text.replace(key, "[API key]") if key else text


def _retry_after_seconds(header: str) -> float | None:
    """Parse a ``Retry-After`` header, which is a number of seconds or a date."""
    if header.isdecimal():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # HTTP dates are always in UTC
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - wall_clock.now()).total_seconds())
