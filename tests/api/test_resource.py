import asyncio
import gzip
from collections.abc import Callable
from functools import partial

import httpx
import pytest

from prefect_seedance.api.addresses import PUBLIC_HOSTS
from prefect_seedance.api.resource import fetch as fetch_guarded
from prefect_seedance.errors import ConnectionFailedError, NoAnswerError
from tests.bodies import Body

URL = "https://images.example/dawn.png"

fetch = partial(fetch_guarded, policy=PUBLIC_HOSTS)


def serving(respond: Callable[[httpx.Request], httpx.Response]) -> httpx.MockTransport:
    return httpx.MockTransport(respond)


async def test_fetches_content() -> None:
    """A successful response gives its content, its status and its URL."""
    found = await fetch(
        URL,
        max_bytes=10,
        timeout_seconds=5,
        transport=serving(lambda _: httpx.Response(200, content=b"image")),
    )

    assert found == (URL, 200, b"image")
    assert found.is_success


async def test_fetch_follows_redirects() -> None:
    """The URL of the result is the one after redirects."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.host == "images.example":
            return httpx.Response(302, headers={"Location": "https://edge.example/a.png"})
        return httpx.Response(200, content=b"image")

    found = await fetch(URL, max_bytes=10, timeout_seconds=5, transport=serving(respond))

    assert found == ("https://edge.example/a.png", 200, b"image")


@pytest.mark.parametrize("status", [304, 403, 404, 500], ids=str)
async def test_fetch_returns_refusals(status: int) -> None:
    """A response without success gives its status, and no content."""
    found = await fetch(
        URL, max_bytes=10, timeout_seconds=5, transport=serving(lambda _: httpx.Response(status, text="no"))
    )

    assert found == (URL, status, b"")
    assert not found.is_success


async def test_fetch_stops_at_the_bound() -> None:
    """Of a larger body one byte beyond the bound is returned, and the rest is not read."""
    body = Body(*[b"12345"] * 1000)

    found = await fetch(
        URL, max_bytes=12, timeout_seconds=5, transport=serving(lambda _: httpx.Response(200, stream=body))
    )

    assert found.content == b"1234512345123"
    assert body.sent == 3


async def test_fetch_accepts_the_bound() -> None:
    """A body of exactly the bound is complete."""
    body = Body(b"12345", b"67890")

    found = await fetch(
        URL, max_bytes=10, timeout_seconds=5, transport=serving(lambda _: httpx.Response(200, stream=body))
    )

    assert found.content == b"1234567890"


async def test_fetch_has_a_timeout() -> None:
    """A body that trickles past every socket timeout ends after the time of the whole exchange."""
    body = Body(*[b"1"] * 1000, pause_seconds=1)
    began = asyncio.get_running_loop().time()

    with pytest.raises(NoAnswerError, match=f"^GET {URL}: TimeoutError$"):
        await fetch(
            URL,
            max_bytes=5000,
            timeout_seconds=7,
            transport=serving(lambda _: httpx.Response(200, stream=body)),
        )

    assert 7 <= asyncio.get_running_loop().time() - began < 8


async def test_fetch_translates_errors() -> None:
    """A transfer that breaks is an error of this package."""
    body = Body(b"12345", error=httpx.ReadError("reset"))

    with pytest.raises(NoAnswerError, match="ReadError: reset"):
        await fetch(
            URL,
            max_bytes=10,
            timeout_seconds=5,
            transport=serving(lambda _: httpx.Response(200, stream=body)),
        )


async def test_refuses_double_compression() -> None:
    """A body that is compressed twice could expand a million times, and is not read."""
    body = Body(gzip.compress(gzip.compress(b"image")))
    headers = {"Content-Encoding": "gzip, gzip"}

    with pytest.raises(NoAnswerError, match="content encoding 'gzip, gzip'"):
        await fetch(
            URL,
            max_bytes=10,
            timeout_seconds=5,
            transport=serving(lambda _: httpx.Response(200, stream=body, headers=headers)),
        )

    assert body.sent == 0


@pytest.mark.parametrize("url", ["", "ftp://host/a", "https://", "http://xn--/", "http://host:65536/"])
async def test_fetch_rejects_invalid_urls(url: str) -> None:
    """A URL that no request can be sent to is an error of this package."""
    with pytest.raises(ConnectionFailedError, match=r"not an http\(s\) URL"):
        await fetch(url, max_bytes=10, timeout_seconds=5)
