import errno
import gzip
import inspect
import socket
import ssl
import traceback
from collections.abc import Callable

import httpx
import pytest

from prefect_seedance.api.transport import (
    ERRORS,
    MAX_ANSWER_BYTES,
    exchange,
    timeouts,
    translated_errors,
)
from prefect_seedance.errors import ConnectionFailedError, NoAnswerError, SeedanceError
from tests.bodies import Body

URL = "https://images.example/dawn.png"

_EXCEPTIONS = [
    kind
    for name in httpx.__all__
    if inspect.isclass(kind := getattr(httpx, name)) and issubclass(kind, Exception)
]

_BEFORE_SENDING = {
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
}


@pytest.mark.parametrize("kind", _EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_translates_every_exception(kind: type[Exception]) -> None:
    """Every exception of httpx is translated; a submission is retried only if nothing was sent."""
    raised = kind.__new__(kind, "why")

    with pytest.raises(SeedanceError) as caught, translated_errors("GET /"):
        raise raised

    assert type(caught.value) is (ConnectionFailedError if kind in _BEFORE_SENDING else NoAnswerError)
    assert str(caught.value) == f"GET /: {kind.__name__}: why"


def test_specific_rows_come_first() -> None:
    """No entry of the table is hidden by a more general one above it."""
    seen: list[type[Exception]] = []

    for kind in ERRORS:
        assert not [general for general in seen if issubclass(kind, general)]
        seen.append(kind)


def test_timeout_is_no_answer() -> None:
    """After a timeout of the whole exchange, the server may have received the request."""
    with pytest.raises(NoAnswerError, match=r"^GET /: TimeoutError$"), translated_errors("GET /"):
        raise TimeoutError


def test_own_errors_pass() -> None:
    """An error of this package is not translated again."""
    with pytest.raises(SeedanceError, match=r"^why$"), translated_errors("GET /"):
        raise SeedanceError("why")


def test_original_is_not_shown() -> None:
    """The traceback does not contain the request, which holds the key."""
    request = httpx.Request("GET", "https://api.example", headers={"Authorization": "Bearer secret"})

    with pytest.raises(NoAnswerError) as caught, translated_errors("GET /"):
        raise httpx.ReadError("lost", request=request)

    assert "secret" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("answer", "before_sending"), [(60, 10), (15, 3.75), (1, 0.25)], ids=["submission", "read", "short"]
)
def test_connecting_ends_first(answer: float, before_sending: float) -> None:
    """Pool, TCP and TLS expire before the whole request, so it is certain that nothing was sent."""
    bounds = timeouts(answer)

    assert (bounds.read, bounds.connect, bounds.pool) == (answer, before_sending, before_sending)


def serving(respond: Callable[[httpx.Request], httpx.Response]) -> httpx.MockTransport:
    return httpx.MockTransport(respond)


async def answer_of(response: httpx.Response) -> httpx.Response:
    async with httpx.AsyncClient(transport=serving(lambda _: response)) as http:
        return await exchange(http, http.build_request("POST", URL))


async def test_exchange_returns_response() -> None:
    """A response within the bound is returned with its decoded body, its headers and its request."""
    body = Body(gzip.compress(b"answer"))
    headers = {"Content-Encoding": "gzip", "Retry-After": "7"}

    response = await answer_of(httpx.Response(429, stream=body, headers=headers))

    assert (response.status_code, response.content, response.headers["Retry-After"]) == (429, b"answer", "7")
    assert response.reason_phrase == "Too Many Requests"
    assert response.request.url == URL


async def test_exchange_stops_at_the_bound() -> None:
    """An answer of 60 MB is not read further than the bound, and is no answer."""
    body = Body(*[bytes(2**16)] * 1000)

    with pytest.raises(NoAnswerError, match=f"^POST {URL}: the answer is larger than 1,048,576 bytes$"):
        await answer_of(httpx.Response(200, stream=body))

    assert body.sent == 17


async def test_exchange_accepts_the_bound() -> None:
    """An answer of exactly the bound is complete."""
    body = Body(*[bytes(2**16)] * 16)

    response = await answer_of(httpx.Response(200, stream=body))

    assert len(response.content) == MAX_ANSWER_BYTES


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 9)"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (ExceptionGroup("all", [OSError(errno.ENETUNREACH, "x"), OSError("y")]), "Network is unreachable"),
        (OSError("Multiple exceptions: [Errno 111] ('::1', 9), [Errno 101] x"), "Connection refused"),
        (ValueError("odd"), "All connection attempts failed"),
        (ssl.SSLCertVerificationError(1, "expired"), "All connection attempts failed"),
    ],
    ids=["refused", "name", "several addresses", "joined addresses", "unknown", "certificate"],
)
def test_names_why_connections_fail(cause: Exception, said: str) -> None:
    """A connection that fails is explained by the system's own reason, if there is one."""
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = cause

    with (
        pytest.raises(ConnectionFailedError, match=f"^GET x: ConnectError: {said}$"),
        translated_errors("GET x"),
    ):
        raise error
