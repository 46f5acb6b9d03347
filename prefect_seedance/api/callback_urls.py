"""The address that the API is given for each attempt's callback, which nobody else can make up."""

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self
from urllib.parse import SplitResult, urlsplit

from prefect_seedance.errors import SetupError

CALLBACK_SECRET_VARIABLE = "SEEDANCE_CALLBACK_SECRET"  # noqa: S105 -- a name, no secret

_PURPOSE = b"prefect-seedance callback"
"""Signed too, so that a secret that also serves something else gives no token away."""

_LEAST_SECRET_CHARACTERS = 32
"""As many as 16 random bytes have in hexadecimal: no one can try them all."""

_TOKEN = re.compile(r"([0-9a-f]{8,64})\.([1-9]\d{0,5})\.([\w-]{43})", re.ASCII)

_PLACE = "{token}"
"""Where in a base the token goes, if not at the end of its path."""


class AttemptRef(NamedTuple):
    """The attempt that a token names."""

    fingerprint: str
    number: int


@dataclass(frozen=True)
class Secrets:
    """What tokens are signed with: the first signs, and all verify, so that a secret can be replaced.

    Attributes:
        values: The newest first.
    """

    values: Sequence[bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read secrets that are separated by commas or white space.

        Raises:
            SetupError: If there is none, or one is too short.
        """
        values = [value.encode() for value in text.replace(",", " ").split()]
        if not values:
            raise SetupError(
                f"Callbacks need a secret. Set {CALLBACK_SECRET_VARIABLE}, or the callback secret of the "
                "credentials block, to what `openssl rand -hex 32` prints; runs and receiver need the same"
            )
        if min(map(len, values)) < _LEAST_SECRET_CHARACTERS:
            raise SetupError(
                f"A callback secret of less than {_LEAST_SECRET_CHARACTERS} characters could be guessed. "
                "Take what `openssl rand -hex 32` prints"
            )
        return cls(tuple(values))

    def token(self, place: AttemptRef) -> str:
        """Return what names an attempt in a URL, and proves that we made it up."""
        return f"{place.fingerprint}.{place.number}.{_signature(place, self.values[0])}"

    def place(self, token: str) -> AttemptRef | None:
        """Return the attempt that a token of ours names; to find out that it is none takes as long."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        place, given = AttemptRef(match[1], int(match[2])), match[3]
        fits = [hmac.compare_digest(_signature(place, value), given) for value in self.values]
        return place if any(fits) else None


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """Where the API shall tell that a generation has ended.

    Attributes:
        base: The receiver's public address; or an address with ``{token}`` in it.
    """

    base: str
    secrets: Secrets

    @classmethod
    def open(cls, base: str, *, secret: str, api_url: str) -> Self:
        """Check what the author of a production gave.

        Args:
            base: The receiver's public address.
            secret: As `Secrets.parse` takes it.
            api_url: Where the API is: only on this machine may callbacks travel unencrypted.

        Raises:
            SetupError: If the address is none or unencrypted, or there is no good secret.
        """
        url, shown = _split(base), base.rpartition("@")[2].partition("?")[0]
        if url is None or "@" in url.netloc or url.fragment or (url.query and _PLACE not in base):
            raise SetupError(
                f"The callback URL {shown!r} is not like https://host/path; give the public address of the "
                "receiver"
            )
        if url.scheme != "https" and not _is_loopback(_split(api_url)):
            raise SetupError(
                f"The callback URL {shown!r} is not https://. Whoever reads a callback on its way could send "
                "others like it, so the API is only given encrypted addresses"
            )
        return cls(base=base.rstrip("/"), secrets=Secrets.parse(secret))

    def url(self, place: AttemptRef) -> str:
        """Return the address of one attempt's callback."""
        token = self.secrets.token(place)
        return self.base.replace(_PLACE, token) if _PLACE in self.base else f"{self.base}/callbacks/{token}"


def _signature(place: AttemptRef, secret: bytes) -> str:
    message = b"\0".join((_PURPOSE, place.fingerprint.encode(), str(place.number).encode()))
    digest = hmac.digest(secret, message, hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if is_url and url.isprintable() and " " not in url else None


def _is_loopback(url: SplitResult | None) -> bool:
    host = url.hostname if url and url.hostname else ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
