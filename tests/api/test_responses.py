import email.utils
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from prefect_seedance.api.responses import parse_response
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
    RedirectedError,
    SeedanceError,
    ServerError,
)

_CODES: dict[int, type[ApiError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    402: InsufficientFundsError,
    403: ContentRejectedError,
    404: NotFoundError,
    405: InvalidRequestError,
    408: ServerError,
    413: InvalidRequestError,
    422: InvalidRequestError,
    429: RateLimitedError,
    451: InvalidRequestError,
    500: ServerError,
    502: ServerError,
    503: ServerError,
    504: ServerError,
    524: ServerError,
}


_URL = "https://api.example/api/v1/generateTask/seedance-1-5-pro"


def _received(response: httpx.Response, *, method: str = "GET") -> httpx.Response:
    response.request = httpx.Request(method, _URL, headers={"Authorization": "Bearer secret"})
    return response


def _envelope(code: int, message: object = "why", data: object = None) -> dict[str, object]:
    return {"code": code, "message": message, "data": data}


@pytest.mark.parametrize(("code", "kind"), _CODES.items(), ids=map(str, _CODES))
@pytest.mark.parametrize("inside", [None, 418], ids=["same code", "other code"])
def test_http_status_decides(code: int, kind: type[ApiError], inside: int | None) -> None:
    """An error status with an envelope of a refusal gives the error of the status."""
    response = httpx.Response(code, json=_envelope(inside or code))

    with pytest.raises(ApiError) as caught:
        parse_response(_received(response))

    assert type(caught.value) is kind
    assert caught.value.code == code
    assert str(caught.value).startswith(f"The API answered {code}: ")


_FOREIGN: dict[str, dict[str, Any]] = {
    "HTML": {"html": "<!DOCTYPE html><title>Attention Required!</title>"},
    "text": {"text": "Forbidden"},
    "empty": {},
    "other JSON": {"json": {"message": "Forbidden"}},
    "other code": {"json": _envelope(1020)},
    "code 0": {"json": _envelope(0)},
    "list": {"json": []},
}

foreign_bodies = pytest.mark.parametrize("body", _FOREIGN.values(), ids=_FOREIGN)


@pytest.mark.parametrize("code", sorted({*range(400, 452)} - {408, 429}), ids=str)
@foreign_bodies
def test_foreign_refusal_is_no_verdict(code: int, body: dict[str, Any]) -> None:
    """Without the API's envelope, a refusal shows only that nothing was started; a read is repeated."""
    with pytest.raises(BlockedError, match=f"{code} .* firewall or proxy .* nothing was started") as caught:
        parse_response(_received(httpx.Response(code, **body), method="POST"))
    with pytest.raises(NoAnswerError, match=f"{code} .* firewall or proxy"):
        parse_response(_received(httpx.Response(code, **body)))

    assert caught.value.code == code


@pytest.mark.parametrize("code", [408, 429, 500, 502, 524], ids=str)
@foreign_bodies
def test_gateways_may_pause_or_fail(code: int, body: dict[str, Any]) -> None:
    """Limits and failures of a gateway mean the same as those of the API."""
    with pytest.raises(ApiError) as caught:
        parse_response(_received(httpx.Response(code, **body), method="POST"))

    assert type(caught.value) is _CODES[code]


@pytest.mark.parametrize(("code", "kind"), _CODES.items(), ids=map(str, _CODES))
def test_envelope_code_decides(code: int, kind: type[ApiError]) -> None:
    """An error code inside HTTP 200 gives the same error as the HTTP status does."""
    response = httpx.Response(200, json=_envelope(code, data={"taskId": "task_1"}))

    with pytest.raises(ApiError, match=rf"^The API answered {code}: why(; [a-z A-Z]+)?$") as caught:
        parse_response(_received(response))

    assert type(caught.value) is kind
    assert caught.value.code == code


@pytest.mark.parametrize(("code", "remedy"), [(401, "check the API key"), (402, "add credit to the account")])
def test_account_error_has_remedy(code: int, remedy: str) -> None:
    """An error of the account says what to do about it."""
    with pytest.raises(ApiError, match=f": why; {remedy}$"):
        parse_response(_received(httpx.Response(code, json=_envelope(code))))


_ELSEWHERE = "https://new.example/v2/api/v1/generateTask/seedance-1-5-pro?token=hidden"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        (_ELSEWHERE, "to https://new.example/v2"),
        ("https://login.example/sso?back=api", "to https://login.example/sso"),
        (f"{_URL}/", "to https://api.example"),
        (None, "without a target"),
    ],
    ids=["other host", "login", "slash", "nowhere"],
)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308], ids=str)
def test_redirects_name_the_target(status: int, location: str | None, target: str, method: str) -> None:
    """A redirect shows that the request did not reach the API, and the message names both URLs."""
    headers = {"Location": location} if location else {}

    with pytest.raises(RedirectedError) as caught:
        parse_response(_received(httpx.Response(status, headers=headers, html="<p>moved"), method=method))

    said = f"The base URL https://api.example redirects {target} ({status}), so the request did not reach"
    assert str(caught.value).startswith(said)


def test_see_other_may_follow_execution() -> None:
    """A 303 to another path of the API may refer to a generation that was started."""
    response = httpx.Response(303, headers={"Location": "/api/v1/statusTask/x?taskId=task_1"})

    with pytest.raises(NoAnswerError, match="303"):
        parse_response(_received(response, method="POST"))


@pytest.mark.parametrize("code", [-1, 0, 1, 201, 302, 600, 1001, 40001], ids=str)
def test_unknown_codes_are_no_answer(code: int) -> None:
    """After an undocumented code it is unknown whether a generation was started."""
    with pytest.raises(NoAnswerError, match=f"^The API answered {code}: why$"):
        parse_response(_received(httpx.Response(200, json=_envelope(code))))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"null", b"[]", b'"ok"', b"{}", b'{"code": "fine"}', b'{"code": null}',
        b'{"data": {}}', b'{"code": 200, "data": {"taskId": "ta', b"\xff\xfe", b"[" * 5000,
        b'{"code": 1e999}',
    ],
    ids=lambda body: body[:24].decode(errors="replace") or "empty",
)  # fmt: skip
def test_invalid_bodies_are_no_answer(body: bytes) -> None:
    """A body that is no envelope is no answer, even with HTTP 200."""
    with pytest.raises(NoAnswerError, match="not in the API's format") as caught:
        parse_response(_received(httpx.Response(200, content=body)))

    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "body",
    [
        {"code": 200, "message": "success", "data": {"taskId": "task_1"}},
        {"code": 200, "data": {"taskId": "task_1"}},
        {"code": 200, "message": None, "data": {"taskId": "task_1"}},
        {"code": 200, "message": {"en": "success"}, "data": {"taskId": "task_1"}},
        {"code": "200", "message": "success", "data": {"taskId": "task_1"}},
        {"code": 200, "message": "success", "data": {"taskId": "task_1"}, "traceId": "x", "ok": True},
    ],
    ids=["documented", "no message", "null message", "odd message", "code as text", "unknown fields"],
)
def test_success_gives_data(body: dict[str, Any]) -> None:
    """Fields that do not decide the outcome may have any value."""
    assert parse_response(_received(httpx.Response(200, json=body))) == {"taskId": "task_1"}


@pytest.mark.parametrize("body", [_envelope(200), {"code": 200}], ids=["null", "missing"])
def test_data_may_be_missing(body: dict[str, object]) -> None:
    """A success without data is left to the endpoint's method."""
    assert parse_response(_received(httpx.Response(200, json=body))) is None


def _refused(retry_after: str | None) -> SeedanceError:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    with pytest.raises(RateLimitedError) as caught:
        parse_response(_received(httpx.Response(429, json=_envelope(429), headers=headers)))
    return caught.value


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0),
        ("Wed, 21 Oct 2015 07:28:00", 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("Wed, 99999999999999999999 Jan 2026 00:00:00 GMT", None),
    ],
)
def test_reads_retry_after(header: str | None, seconds: float | None) -> None:
    """A pause is parsed from seconds or a date; any other value is ignored."""
    error = _refused(header)

    assert isinstance(error, RateLimitedError)
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize("ending", ["GMT", "-0000"])
def test_counts_down_to_a_date(ending: str) -> None:
    """A date in the future is a pause until then."""
    moment = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)

    error = _refused(moment.replace("GMT", ending))

    assert isinstance(error, RateLimitedError)
    assert 85 < (error.retry_after_seconds or 0) <= 90


def test_retry_after_counts_inside_success() -> None:
    """A 429 in the envelope of an HTTP 200 may come with a pause as well."""
    response = httpx.Response(200, json=_envelope(429), headers={"Retry-After": "3"})

    with pytest.raises(RateLimitedError) as caught:
        parse_response(_received(response))

    assert caught.value.retry_after_seconds == 3


def test_long_messages_are_cut() -> None:
    """The error of a long message stays readable."""
    body = json.dumps(_envelope(400, "x" * 100_000))

    with pytest.raises(InvalidRequestError) as caught:
        parse_response(_received(httpx.Response(400, content=body)))

    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("inside", [200, 500, 503], ids=str)
@pytest.mark.parametrize("status", [302, 400, 401, 429], ids=str)
def test_contradictions_are_no_answer(status: int, inside: int) -> None:
    """If only the HTTP status is an error, a generation may have been started."""
    response = httpx.Response(status, json=_envelope(inside, data={"taskId": "task_1"}))

    with pytest.raises(NoAnswerError, match=f"status {status}, but with code {inside} in the body"):
        parse_response(_received(response))


def test_messages_hide_the_key() -> None:
    """If the API repeats the key in its message, the error does not contain it."""
    response = httpx.Response(401, json=_envelope(401, message="invalid key: secret"))

    with pytest.raises(AuthenticationError, match=r"invalid key: \[API key\]; check the API key$"):
        parse_response(_received(response))


def test_excerpts_hide_the_key() -> None:
    """If a page repeats the request's headers, the error does not contain the key."""
    response = httpx.Response(200, text="<html>Authorization: Bearer secret</html>")

    with pytest.raises(NoAnswerError) as caught:
        parse_response(_received(response))

    assert "secret" not in str(caught.value)
