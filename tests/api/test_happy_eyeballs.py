"""Connections to hosts with several addresses, on loopback."""

import asyncio
import contextlib
import errno
import gc
import socket
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from prefect_seedance.api.happy_eyeballs import connect

_TURNS = 30
"""More turns of the event loop than a connection takes."""


@pytest.fixture
def port() -> Iterator[int]:
    """Listen on 127.0.0.1 and on ::1, and return the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = listening.getsockname()[1]
        with socket.create_server(("::1", number), family=socket.AF_INET6):
            yield number


@pytest.fixture
def silent() -> Iterator[str]:
    """Return an address whose queue is full, so that a connection to its port is never answered."""
    address = "127.0.0.7"
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind((address, 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listening.getsockname())
        yield f"{address}:{listening.getsockname()[1]}"


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let any name have these addresses, each with its port, at once instead of from a thread."""
    parts = [address.rpartition(":") for address in addresses]
    found = [
        each for host, _, port in parts for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ]

    async def answer(*_: object, **__: object) -> list[Any]:
        return found

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", answer)


def peer(host: str, port: int) -> str:
    """Connect, and return the address."""
    with asyncio.run(connect(host, port)) as connection:
        return str(connection.getpeername()[0])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_address(host: str, port: int) -> None:
    """An IP address is connected to."""
    assert peer(host, port) == host


def test_local_address(port: int) -> None:
    """A connection can leave from an address of this machine."""
    with asyncio.run(connect("127.0.0.1", port, local_address="127.0.0.9")) as connection:
        assert connection.getsockname()[0] == "127.0.0.9"


def test_refused_address_is_followed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """If an address refuses, the next one is tried at once."""
    resolving(monkeypatch, f"127.0.0.8:{port}", f"127.0.0.1:{port}")

    assert peer("many.test", port) == "127.0.0.1"


def test_silent_address_is_followed(port: int, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an address does not answer, the next one is tried."""
    resolving(monkeypatch, silent, f"127.0.0.1:{port}")

    assert peer("many.test", port) == "127.0.0.1"


def test_families_alternate(port: int, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an address of one family, one of the other is tried."""
    resolving(monkeypatch, silent, f"127.0.0.1:{port}", f"::1:{port}")

    assert peer("many.test", port) == "::1"


def test_all_addresses_fail(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """If all addresses refuse, the last error is raised."""
    resolving(monkeypatch, f"127.0.0.8:{port}", f"127.0.0.9:{port}")

    with pytest.raises(OSError) as raised:  # noqa: PT011 -- its number is checked
        peer("many.test", port)

    assert raised.value.errno == errno.ECONNREFUSED


def test_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without addresses is an error."""
    resolving(monkeypatch)

    with pytest.raises(OSError, match=r"many\.test has no address"):
        peer("many.test", 80)


@pytest.mark.parametrize("addresses", [1, 3])
def test_cancelled_at_any_time(port: int, addresses: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it is cancelled, no socket and no task is left."""
    resolving(monkeypatch, *([f"127.0.0.1:{port}"] * addresses))
    ends = []

    async def cancel(after: int) -> None:
        before = asyncio.all_tasks()
        connecting = asyncio.create_task(connect("many.test", port))
        while not connecting.done() and after:
            await asyncio.sleep(0)
            after -= 1
        connecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            (await connecting).close()
        ends.append(connecting.cancelled())
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for turns in range(1_000):
            asyncio.run(cancel(turns))
            if not ends[-1]:
                break
        gc.collect()

    assert [str(each.message) for each in caught] == []
    assert ends[0]
    assert not ends[-1]
