"""Parse, check and show http(s) URLs, and recognise loopback hosts."""

import ipaddress
import re

import httpx

from prefect_seedance.doors import account
from prefect_seedance.errors import SetupError

_MAX_PORT = (1 << 16) - 1

_SHOWN_CHARACTERS = 200
"""A URL in a message; longer paths are cut."""


def parse_url(url: str) -> httpx.URL | None:
    """Return a parsed http(s) URL, or None if no request can be sent to it."""
    try:
        parsed = httpx.URL(url)
        is_usable = parsed.scheme in {"http", "https"} and parsed.host and (parsed.port or 0) <= _MAX_PORT
    except (httpx.InvalidURL, UnicodeError):  # httpx raises UnicodeError for invalid international host names
        return None
    return parsed if is_usable else None


def checked_base_url(base_url: str) -> str:
    """Return the base URL of an API without a trailing slash.

    Raises:
        SetupError: If it is invalid, contains a secret, or would send the key unencrypted to another machine.
    """
    url = parse_url(base_url)
    # httpx would send a user name and password instead of the key, and the ledger would store them.
    if url is None or url.userinfo or url.query or url.fragment:
        shown = base_url.rpartition("@")[2].partition("?")[0]
        raise SetupError(
            f"The base URL {shown!r} is not of the form https://HOST/PATH; check {account('base_url')}"
        )
    if url.scheme != "https" and not is_loopback(url.host):
        raise SetupError(
            f"The base URL {base_url!r:.200} is not https://, so the key could be read on its way; "
            "use https://, or an API on this machine"
        )
    return base_url.rstrip("/")


def shown_url(url: str) -> str:
    """Return a URL for messages and logs: in one line, without its user, query and fragment.

    Those may be secrets, such as a signature.
    """
    plain = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, separator, rest = plain.rpartition("://")
    authority, slash, path = rest.partition("/")
    shown = f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"
    shown = "".join(character if character.isprintable() else "\ufffd" for character in shown)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[: _SHOWN_CHARACTERS - 1]}…"


def without_secrets(url: str) -> str | None:
    """Return a URL without its user, query and fragment; None if it is no http(s) URL."""
    parsed = parse_url(url)
    return str(parsed.copy_with(userinfo=b"", query=None, fragment=None)) if parsed else None


def hide_users(message: object) -> str:
    """Return a message without the users and passwords of the URLs in it."""
    return re.sub(r"://[^/\s]*@", "://", str(message))


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL, normalised: a key that is meant for it may be sent there."""
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host, parsed.port


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address always means this machine.

    Source for ``localhost``: https://www.rfc-editor.org/rfc/rfc6761#section-6.3, read 2026-11.
    """
    name = host.lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
