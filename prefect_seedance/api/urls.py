"""Parse http(s) URLs and recognise loopback hosts."""

import ipaddress

import httpx

_MAX_PORT = (1 << 16) - 1


def parse_url(url: str) -> httpx.URL | None:
    """Return a parsed http(s) URL, or None if no request can be sent to it."""
    try:
        parsed = httpx.URL(url)
        is_usable = parsed.scheme in {"http", "https"} and parsed.host and (parsed.port or 0) <= _MAX_PORT
    except (httpx.InvalidURL, UnicodeError):  # httpx raises UnicodeError for invalid international host names
        return None
    return parsed if is_usable else None


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address always means this machine.

    Source for ``localhost``: https://www.rfc-editor.org/rfc/rfc6761#section-6.3, read 2026-11.
    """
    name = host.lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
