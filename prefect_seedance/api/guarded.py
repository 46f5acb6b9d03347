"""Read URLs from outside: from permitted hosts only, at every redirect."""

import asyncio
import contextvars
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType, TracebackType
from typing import Final, Self

import httpx

from prefect_seedance.api.addresses import HostPolicy
from prefect_seedance.api.proxies import proxy_for
from prefect_seedance.api.tls import tls_context
from prefect_seedance.api.transport import timeouts
from prefect_seedance.api.urls import parse_url, shown_url
from prefect_seedance.errors import ForbiddenHostError

_log = logging.getLogger(__name__)

_MAX_REDIRECTS: Final = 10
"""File hosts use one or two."""

_ONE_USE: Final = httpx.Limits(max_keepalive_connections=0)
"""The pool knows a connection by its address alone, and two hosts of one address must not share one."""

_HIDES_URLS: contextvars.ContextVar[bool] = contextvars.ContextVar("hides_urls", default=False)
"""Whether the current request has a URL that may be signed, which httpx and httpcore would log."""


class GuardedTransport(httpx.AsyncBaseTransport):
    """Connects to the address of a host that was checked, so that its name cannot lead elsewhere meanwhile.

    If the environment sets a proxy, the proxy resolves names. Then only hosts that are written as an address,
    or mean this machine by name, are checked.
    """

    def __init__(self, policy: HostPolicy) -> None:
        self._policy = policy
        self._direct = httpx.AsyncHTTPTransport(verify=tls_context(), limits=_ONE_USE)
        self._proxies: dict[tuple[str, str], httpx.Proxy | None] = {}
        """By scheme and host, because to search the environment takes a fifth of the time of a download."""
        self._proxied: dict[httpx.URL, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the first address of its host that accepts the connection.

        Raises:
            ForbiddenHostError: If no address of the host may be read from, or the URL is not an http(s) URL.
        """
        if parse_url(str(request.url)) is None:
            raise ForbiddenHostError("A redirect leads to a URL that is not http(s), so it is not read")
        host = request.url.raw_host.decode("ascii")
        if proxied := self._proxy_to(request.url.scheme, host):
            self._policy.check_unresolved(host)
            return await proxied.handle_async_request(request)
        *first, last = await self._addresses(host, request)
        for address in first:
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._send(request, host, address)
        return await self._send(request, host, last)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in (self._direct, *self._proxied.values()):
            await transport.aclose()

    def _proxy_to(self, scheme: str, host: str) -> httpx.AsyncBaseTransport | None:
        if (scheme, host) not in self._proxies:
            self._proxies[scheme, host] = proxy_for(scheme, host)
        proxy = self._proxies[scheme, host]
        if proxy is None:
            return None
        if proxy.url not in self._proxied:
            self._proxied[proxy.url] = httpx.AsyncHTTPTransport(
                verify=tls_context(), limits=_ONE_USE, proxy=proxy
            )
        return self._proxied[proxy.url]

    async def _addresses(self, host: str, request: httpx.Request) -> Sequence[str]:
        """Resolve a host, and return the addresses that may be read from, in the system's order."""
        seconds = request.extensions.get("timeout", {}).get("connect")
        try:
            async with asyncio.timeout(seconds):
                found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise httpx.ConnectTimeout(f"the host's name was not resolved in {seconds} s") from None
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"the host's name cannot be resolved ({error})") from None
        addresses = dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)
        permitted = [text for text in addresses if self._policy.permits(host, ipaddress.ip_address(text))]
        if not permitted:
            raise self._policy.refusal(host)
        return permitted

    async def _send(self, request: httpx.Request, host: str, address: str) -> httpx.Response:
        """Send a request to an address; its Host header and its TLS certificate are the host's."""
        return await self._direct.handle_async_request(
            httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
        )


class GuardedClient:
    """Sends GET requests for URLs from outside, without credentials. Use as an async context manager.

    Args:
        policy: Which hosts may be read from.
        timeout_seconds: Bound of each read from the network. The caller bounds the whole exchange.
        transport: Replaces the network, for tests.
    """

    def __init__(
        self,
        policy: HostPolicy,
        *,
        timeout_seconds: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        _hide_urls()
        self._http = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"},  # so that Content-Length is the size of the file
            timeout=timeouts(timeout_seconds),
            follow_redirects=False,  # httpx would read the whole body of a redirect
            transport=transport or GuardedTransport(policy),
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    @asynccontextmanager
    async def stream(
        self, url: str, *, headers: Mapping[str, str] = MappingProxyType({})
    ) -> AsyncIterator[httpx.Response]:
        """Send a request, follow redirects, and yield the response before its body is read.

        Raises:
            ForbiddenHostError: If the URL or a redirect leads to a host that may not be read from.
            httpx.HTTPError: If no response arrived.
        """
        request = self._http.build_request("GET", url, headers=headers)
        for _ in range(_MAX_REDIRECTS + 1):
            response = await self._send(request)
            try:
                if response.next_request is None:
                    yield response
                    return
                request = response.next_request
            finally:
                await response.aclose()
        raise httpx.TooManyRedirects(f"more than {_MAX_REDIRECTS} redirects", request=request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        hidden = _HIDES_URLS.set(True)
        try:
            response = await self._http.send(request, stream=True)
        finally:
            _HIDES_URLS.reset(hidden)
        _log.debug("GET %s: %d", shown_url(str(request.url)), response.status_code)
        return response


def _is_loggable(_: logging.LogRecord) -> bool:
    return not _HIDES_URLS.get()


def _hide_urls() -> None:
    """Keep signed URLs, also those of redirects, out of the logs of httpx and httpcore."""
    for name in ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "proxy", "socks"))):
        logging.getLogger(name).addFilter(_is_loggable)  # adding it again changes nothing
