"""Link from a page in an archive to other files of the archive."""

import posixpath
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self
from urllib.parse import quote, urlsplit

from prefect_seedance.errors import ArchiveError
from prefect_seedance.printable import get_logger
from prefect_seedance.storage.store import Store

_log = get_logger(__name__)

LIFETIME = timedelta(days=7)
"""The maximum of S3, GCS and Azure. Signatures end earlier if the credentials that made them do."""


class Link(NamedTuple):
    """A link to a file.

    Attributes:
        key: Key of the file in the archive.
        relative: Path from the page; works on a disk, and where the archive is served as it is.
        signed: URL that works for everyone until it expires; None if the archive cannot sign.
    """

    key: str
    relative: str
    signed: str | None

    @property
    def best(self) -> str:
        """The signed URL if there is one, otherwise the relative path."""
        return self.signed or self.relative

    @property
    def all(self) -> tuple[str, ...]:
        """All links, the best first."""
        return (self.signed, self.relative) if self.signed else (self.relative,)

    @property
    def origin(self) -> str | None:
        """Origin of the signed URL, for a content security policy."""
        if self.signed is None:
            return None
        parts = urlsplit(self.signed)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, kw_only=True)
class Links:
    """Creates the links of one page.

    Attributes:
        page: Key of the page.
        signed_until: When signatures expire; None without signatures.
    """

    store: Store
    page: str
    signed_until: datetime | None

    @classmethod
    async def of(cls, store: Store, page: str) -> Self:
        """Return the links of a page; signed for seven days, if archive and credentials can sign."""
        signed_until = datetime.now(UTC) + LIFETIME
        try:
            signed = await store.sign(page, lifetime=LIFETIME)
        except ArchiveError as error:
            _log.warning("Could not sign the links of %s, so they are relative: %s", page, error)
            signed = None
        return cls(store=store, page=page, signed_until=signed_until if signed else None)

    @property
    def until(self) -> datetime | None:
        """When signed links expire: with the signature, or earlier with the credentials if that is known."""
        return self.signed_until and min(self.signed_until, self.store.expires_at or self.signed_until)

    async def to(self, key: str) -> Link:
        """Return the link to a file.

        Raises:
            ArchiveError: If the credentials for signing have expired meanwhile.
        """
        relative = quote(posixpath.relpath(key, posixpath.dirname(self.page)))
        if self.signed_until is None:
            return Link(key, relative, None)
        signed = await self.store.sign(key, lifetime=self.signed_until - datetime.now(UTC))
        return Link(key, relative, signed)
