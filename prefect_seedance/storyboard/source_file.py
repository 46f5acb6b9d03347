"""A file that an author names: an image, a video or a sound."""

from pathlib import Path, PurePosixPath
from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from prefect_seedance.api.signatures import unsigned
from prefect_seedance.api.urls import is_loopback
from prefect_seedance.errors import StoryboardError


class SourceFile(BaseModel):
    """A file at a URL, or a local or stored file that was inspected.

    The API alone fetches a file at a URL, so its digest, format and size are None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(description="Absolute path of a local file, location of a stored object, or a URL.")
    sha256: str | None = Field(default=None, description="Digest of the file's bytes, in hexadecimal.")
    format: str | None = Field(default=None, description="Format of the file, found in its content.")
    size_bytes: int | None = Field(default=None, description="Size of the file in bytes.")

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Create a file that the API fetches from this URL.

        Raises:
            StoryboardError: The API cannot fetch from the URL.
        """
        if problem := _url_problem(url):
            raise StoryboardError(problem)
        return cls(source=url)

    @property
    def identity(self) -> str:
        """The file's part of a fingerprint: the digest of its content, wherever it is stored, or its URL.

        A URL counts without its signature, which changes although the file stays the same.
        """
        return unsigned(self.source) if self.sha256 is None else f"sha256:{self.sha256}"

    @property
    def is_signed(self) -> bool:
        """Whether it is at a URL that is signed, and therefore changes."""
        return not self.is_local and self.identity != self.source

    @property
    def is_local(self) -> bool:
        """Whether the file must be hosted before the API can fetch it."""
        return self.sha256 is not None

    @property
    def hosted_name(self) -> str:
        """Name of the file that the API fetches, which is the digest of the content."""
        return f"{self.sha256}.{(self.format or '').lower()}"

    @property
    def stem(self) -> str:
        """The file's name without folder and suffix, for display."""
        if self.is_local:
            return Path(self.source).stem
        url = urlsplit(self.source)
        return PurePosixPath(unquote(url.path)).stem or url.netloc


def _url_problem(url: str) -> str | None:
    """Return why the API cannot fetch from this URL, or None if it can."""
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname, parts.scheme
    except ValueError as error:
        return f"{url!r} is not a URL: {error}"
    if parts.username or parts.password:
        return "the URL contains a user name or password, which would be stored with the clip; remove it"
    if any(character.isspace() or not character.isprintable() for character in url):
        return f"{url!r} contains a space or an unprintable character; percent-encode it, a space as %20"
    if not host or not (scheme == "https" or (scheme == "http" and is_loopback(host))):
        return f"{url!r} is not an https URL, so the API cannot fetch it; use an https URL or a local file"
    return None
