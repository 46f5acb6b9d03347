"""Find the proxy of a host in the environment, and refuse one that cannot be used."""

import ipaddress
import os
from contextlib import suppress
from importlib.util import find_spec
from typing import Final
from urllib.request import getproxies, proxy_bypass

import httpx

from prefect_seedance.api.urls import is_loopback, shown_url
from prefect_seedance.errors import SetupError

_SOCKS: Final = ("socks5", "socks5h")


def check_proxies(base_url: str) -> None:
    """Refuse a proxy that cannot be used for the API, or for the files that it makes.

    An API on this machine has its files there too, so that only its own proxy counts.

    Raises:
        SetupError: A proxy in the environment is malformed, or needs a package that is not installed.
    """
    url = httpx.URL(base_url)
    proxy_for(url.scheme, url.host)
    if not is_loopback(url.host):
        find_proxy("https")


def proxy_for(scheme: str, host: str) -> httpx.Proxy | None:
    """Return the proxy for requests to a host; None if they are direct.

    Raises:
        SetupError: The proxy cannot be used.
    """
    return None if _is_exempt(host) else find_proxy(scheme)


def find_proxy(scheme: str) -> httpx.Proxy | None:
    """Return the environment's proxy for a scheme; None if there is none.

    Raises:
        SetupError: The proxy cannot be used.
    """
    found = getproxies()
    key = scheme if found.get(scheme) else "all"
    url = found.get(key)
    if not url:
        return None
    try:
        proxy = httpx.Proxy(url if "://" in url else f"http://{url}")
        is_complete = proxy.url.host and 0 <= (proxy.url.port or 0) < 1 << 16
    except (httpx.InvalidURL, ValueError, UnicodeError):
        is_complete = False
    if not is_complete:
        raise _refusal(key, url, "which is not of the form http://HOST:PORT; correct it")
    if proxy.url.scheme in _SOCKS and not find_spec("socksio"):
        raise _refusal(key, url, "which needs another package; run: pip install 'httpx[socks]'")
    return proxy


def _refusal(key: str, url: str, problem: str) -> SetupError:
    """Return the error about a proxy, without its password."""
    names = (f"{key}_proxy", f"{key.upper()}_PROXY")
    variable = next((name for name in names if os.environ.get(name) == url), "The system's proxy setting")
    return SetupError(f"{variable} is {shown_url(url)!r}, {problem}, or exempt the API's host with NO_PROXY")


def _is_exempt(host: str) -> bool:
    """Return whether NO_PROXY, or the system, exempts a host."""
    if proxy_bypass(host):
        return True
    entries = (getproxies().get("no") or "").replace(",", " ").split()
    return any(_covers(entry.strip("[]"), host.lower()) for entry in map(str.lower, entries))


def _covers(entry: str, host: str) -> bool:
    """Return whether an entry of NO_PROXY covers a host: a network, or a name with or without ``*.``."""
    with suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    name = entry.rpartition("://")[2].removeprefix("*").removeprefix(".")
    name = name.partition(":")[0]  # it may have a port
    return bool(name) and (host == name or host.endswith(f".{name}"))
