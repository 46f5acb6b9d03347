"""Signed callback URLs, one for each attempt."""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self
from urllib.parse import SplitResult, urlsplit

from prefect_seedance.api.urls import is_loopback
from prefect_seedance.doors import account
from prefect_seedance.errors import SetupError

_PURPOSE = b"prefect-seedance callback"
"""Part of the signed text, so that a signature made with the same secret elsewhere is not valid here."""

_MIN_SECRET_CHARACTERS = 32
"""The length of 16 random bytes in hexadecimal, which cannot be guessed."""

_TOKEN = re.compile(r"([0-9a-f]{8,64})\.([1-9]\d{0,5})\.([\w-]{43})", re.ASCII)

_PLACEHOLDER = "{token}"
"""Marks where the token goes, if not at the end of the base URL's path."""


class AttemptRef(NamedTuple):
    """The attempt that a token names."""

    fingerprint: str
    number: int


@dataclass(frozen=True)
class Secrets:
    """The secrets that sign tokens: the first signs, all are accepted, so that a secret can be replaced.

    Attributes:
        values: The secrets, newest first.
    """

    values: Sequence[bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse secrets that are separated by commas or white space.

        Raises:
            SetupError: If there is no secret, or one is too short.
        """
        values = [value.encode() for value in text.replace(",", " ").split()]
        if not values:
            raise SetupError(
                f"Callbacks need a secret. Set {account('callback_secret')} to the output of "
                "`openssl rand -hex 32`. "
                "Runs and receiver need the same secret"
            )
        if min(map(len, values)) < _MIN_SECRET_CHARACTERS:
            raise SetupError(
                f"A callback secret has fewer than {_MIN_SECRET_CHARACTERS} characters and could be guessed. "
                "Use the output of `openssl rand -hex 32`"
            )
        return cls(tuple(values))

    def token(self, attempt: AttemptRef) -> str:
        """Return a signed token that names an attempt."""
        return f"{attempt.fingerprint}.{attempt.number}.{_signature(attempt, self.values[0])}"

    def verify(self, token: str) -> AttemptRef | None:
        """Return the attempt that a token names, or None if its signature is invalid.

        All signatures are compared in constant time, so that response times reveal nothing.
        """
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        attempt, signature = AttemptRef(match[1], int(match[2])), match[3]
        matches = [hmac.compare_digest(_signature(attempt, value), signature) for value in self.values]
        return attempt if any(matches) else None


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """Makes the callback URL of each attempt.

    Attributes:
        base: The receiver's public URL; it may contain ``{token}``.
    """

    base: str
    secrets: Secrets

    @classmethod
    def open(cls, base: str, *, secret: str, api_url: str) -> Self:
        """Validate the configuration of callbacks.

        Args:
            base: The receiver's public URL.
            secret: One or more secrets, as `Secrets.parse` reads them.
            api_url: Base URL of the API. Only an API on this machine may send unencrypted callbacks.

        Raises:
            SetupError: If the URL is invalid or unencrypted, or there is no good secret.
        """
        url, shown = _split(base), base.rpartition("@")[2].partition("?")[0]
        if url is None or "@" in url.netloc or url.fragment or (url.query and _PLACEHOLDER not in base):
            raise SetupError(
                f"The callback URL {shown!r} is not of the form https://HOST/PATH; "
                "use the receiver's public URL"
            )
        if url.scheme != "https" and not _is_local(api_url):
            raise SetupError(
                f"The callback URL {shown!r} is not https://. Unencrypted callbacks can be read and forged; "
                "use an https:// URL"
            )
        return cls(base=base.rstrip("/"), secrets=Secrets.parse(secret))

    def url(self, attempt: AttemptRef) -> str:
        """Return the callback URL of one attempt."""
        token = self.secrets.token(attempt)
        if _PLACEHOLDER in self.base:
            return self.base.replace(_PLACEHOLDER, token)
        return f"{self.base}/callbacks/{token}"


def _signature(attempt: AttemptRef, secret: bytes) -> str:
    message = b"\0".join((_PURPOSE, attempt.fingerprint.encode(), str(attempt.number).encode()))
    digest = hmac.digest(secret, message, hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if is_url and url.isprintable() and " " not in url else None


def _is_local(url: str) -> bool:
    parts = _split(url)
    return parts is not None and is_loopback(parts.hostname or "")
