import inspect
import traceback

import httpx
import pytest

from prefect_seedance.api.transport import ERRORS, parsed, timeouts, translated_errors
from prefect_seedance.errors import ConnectionFailedError, NoAnswerError, SeedanceError

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
    """Whatever httpx can raise becomes one of ours; only what fails before sending may be submitted again."""
    raised = kind.__new__(kind, "why")

    with pytest.raises(SeedanceError) as caught, translated_errors("GET /"):
        raise raised

    assert type(caught.value) is (ConnectionFailedError if kind in _BEFORE_SENDING else NoAnswerError)
    assert str(caught.value) == f"GET /: {kind.__name__}: why"


def test_particular_rows_come_first() -> None:
    """No row of the table is hidden by one above it that is more general."""
    seen: list[type[Exception]] = []

    for kind in ERRORS:
        assert not [general for general in seen if issubclass(kind, general)]
        seen.append(kind)


def test_running_out_of_time_is_no_answer() -> None:
    """A whole exchange that took too long may have reached the other side."""
    with pytest.raises(NoAnswerError, match=r"^GET /: TimeoutError$"), translated_errors("GET /"):
        raise TimeoutError


def test_our_errors_pass() -> None:
    """What is told in our words already is not told twice."""
    with pytest.raises(SeedanceError, match=r"^why$"), translated_errors("GET /"):
        raise SeedanceError("why")


def test_original_is_not_shown() -> None:
    """The request, which holds the key, is in no traceback."""
    request = httpx.Request("GET", "https://api.example", headers={"Authorization": "Bearer secret"})

    with pytest.raises(NoAnswerError) as caught, translated_errors("GET /"):
        raise httpx.ReadError("lost", request=request)

    assert "secret" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("answer", "before_sending"), [(60, 10), (15, 3.75), (1, 0.25)], ids=["patient", "read", "hasty"]
)
def test_connecting_ends_first(answer: float, before_sending: float) -> None:
    """Queue, TCP and TLS together take less than the whole, so that it is known that nothing was sent."""
    bounds = timeouts(answer)

    assert (bounds.read, bounds.connect, bounds.pool) == (answer, before_sending, before_sending)


@pytest.mark.parametrize(
    "url",
    [
        "", "host", "ftp://host/a", "file:///etc/passwd", "https://", "https:///path", "https://[::1", "http://x:0x1",
        "http://host:65536/", "http://0.0.0.256/", "http://xn--/", "https://host/\n",
    ],
    ids=lambda url: url.strip() or "empty",
)  # fmt: skip
def test_refuses_what_is_no_address(url: str) -> None:
    """An address that no request could be sent to is none."""
    assert parsed(url) is None


@pytest.mark.parametrize(
    "url",
    ["https://host", "http://127.0.0.1:65535/a?b#c", "https://[::1]:1/", "HTTPS://Host/ü"],
    ids=["host", "full", "ipv6", "capitals"],
)
def test_parses_addresses(url: str) -> None:
    """An http(s) address is taken apart."""
    assert parsed(url) == httpx.URL(url)
