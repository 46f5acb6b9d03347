"""Connect to the first address of a host that answers."""

import asyncio
import socket
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest
from typing import Any, Final

_NEXT_ADDRESS_SECONDS: Final = 0.25
"""When to try the next address beside one that does not answer. Source: RFC 8305."""

_Address = tuple[int, int, int, str, Any]
"""As `getaddrinfo` returns it."""


async def connect(host: str, port: int, *, local_address: str | None = None) -> socket.socket:
    """Connect by TCP. Each address of the host is tried when the one before has failed, or is late.

    asyncio's own ``happy_eyeballs_delay`` leaves a socket open if it is cancelled in the moment of success.

    Args:
        host: Its name or IP address.
        port: Its port.
        local_address: The IP address to connect from.

    Raises:
        OSError: If no address can be connected to.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = deque(_alternating(found))
    attempts: set[asyncio.Task[socket.socket]] = set()
    error: BaseException = OSError(f"{host} has no address")
    try:
        while addresses or attempts:
            if addresses:
                attempts.add(asyncio.create_task(_connect(addresses.popleft(), local_address)))
            late = _NEXT_ADDRESS_SECONDS if addresses else None
            done, _ = await asyncio.wait(attempts, timeout=late, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.remove(attempt)
                if failure := attempt.exception():
                    error = failure
                else:
                    return attempt.result()
        raise error
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close)


def _alternating(addresses: Iterable[_Address]) -> Iterator[_Address]:
    """Alternate between IPv6 and IPv4, so that a network without one of them costs one attempt."""
    families: dict[int, list[_Address]] = defaultdict(list)
    for address in addresses:
        families[address[0]].append(address)
    return filter(None, chain.from_iterable(zip_longest(*families.values())))


async def _connect(address: _Address, local_address: str | None) -> socket.socket:
    family, kind, protocol, _, remote = address
    connection = socket.socket(family, kind, protocol)
    try:
        connection.settimeout(0)
        if local_address:
            connection.bind((local_address, 0))
        await asyncio.get_running_loop().sock_connect(connection, remote)
    except BaseException:
        connection.close()
        raise
    return connection


def _close(attempt: asyncio.Task[socket.socket]) -> None:
    """Close the connection of an attempt that was not needed any more."""
    if not attempt.cancelled() and not attempt.exception():
        attempt.result().close()
