"""Decide which hosts may be read from if a URL comes from outside."""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import httpx

from prefect_seedance.api.urls import is_loopback
from prefect_seedance.doors import account
from prefect_seedance.errors import ForbiddenHostError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""The only part of IPv6 with public hosts. Source: https://www.iana.org/assignments/ipv6-address-space, read
2026-11."""

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""A gateway translates these addresses to the IPv4 address in their last bits. Source: RFC 6052."""

_NOT_PUBLIC: Final = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # for protocols; Python excepts some of them in some versions
    ipaddress.IPv4Network("168.63.129.16/32"),  # reached from inside an Azure machine only, and trusted there
)


@dataclass(frozen=True, kw_only=True)
class HostPolicy:
    """Which hosts may be read from: public ones, and those that are allowed here.

    Attributes:
        allow_hosts: Names in lower case of hosts that may have any address.
        allow_loopback: Whether this machine may be read from.
    """

    allow_hosts: frozenset[str] = frozenset()
    allow_loopback: bool = False

    @classmethod
    def of(cls, base_url: str, *, allow_hosts: Iterable[str] = ()) -> Self:
        """Return the policy for files of an API: an API on this machine may serve them from this machine.

        Args:
            base_url: The API's base URL.
            allow_hosts: Names of hosts that may have any address.
        """
        return cls(
            allow_hosts=frozenset(map(_normalized, allow_hosts)),
            allow_loopback=is_loopback(httpx.URL(base_url).host),
        )

    def allows(self, host: str) -> bool:
        """Return whether a host is allowed by its name."""
        return _normalized(host) in self.allow_hosts

    def permits(self, host: str, address: Address) -> bool:
        """Return whether a host may be read from at one of its addresses."""
        reached = _reached(address)
        return self.allows(host) or _is_public(reached) or (self.allow_loopback and reached.is_loopback)

    def check_unresolved(self, host: str) -> None:
        """Check the name of a host that a proxy resolves, as far as the name itself shows the address.

        Raises:
            ForbiddenHostError: If the name is an address, or means this machine, and is not permitted.
        """
        address = ipaddress.IPv4Address("127.0.0.1") if is_loopback(host) else _parse(host)
        if address and not self.permits(host, address):
            raise self.refusal(host)

    def refusal(self, host: str) -> ForbiddenHostError:
        """Return the error of a host that may not be read from."""
        return ForbiddenHostError(
            f"{host:.100} is not a public host, so nothing is read from it; if it is yours, name it in "
            f"{account('allow_hosts')}"
        )


PUBLIC_HOSTS: Final = HostPolicy()
"""The policy that permits public hosts only."""


def _normalized(host: str) -> str:
    return host.strip().rstrip(".").lower()


def _parse(host: str) -> Address | None:
    """Return the address that a host is written as, also in short, octal and hexadecimal forms of IPv4."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _reached(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address leads to, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return address in _GLOBAL_UNICAST
    return not any(address in network for network in _NOT_PUBLIC)
