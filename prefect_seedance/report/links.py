"""Links that lead from a page in an archive to what else is there."""

import logging
import posixpath
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self
from urllib.parse import quote, urlsplit

from prefect_seedance.errors import ArchiveError
from prefect_seedance.storage.store import Store

_log = logging.getLogger(__name__)

LIFETIME = timedelta(days=7)
"""The longest that S3, GCS and Azure sign for. Credentials that end before take their signatures along."""


class Link(NamedTuple):
    """Where a file is.

    Attributes:
        key: In the archive.
        relative: From the page; it leads there from a disk, or wherever the archive is served as it is.
        signed: For everyone, for a while; None if the archive cannot sign.
    """

    key: str
    relative: str
    signed: str | None

    @property
    def best(self) -> str:
        """The one that works where the page is."""
        return self.signed or self.relative

    @property
    def all(self) -> tuple[str, ...]:
        """Both, the best first."""
        return (self.signed, self.relative) if self.signed else (self.relative,)

    @property
    def origin(self) -> str | None:
        """Where the signed one leads, as a content security policy names it."""
        if self.signed is None:
            return None
        parts = urlsplit(self.signed)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, kw_only=True)
class Links:
    """Makes links from one page.

    Attributes:
        page: The page's key.
        signed_until: When signatures end; None if there are none.
    """

    store: Store
    page: str
    signed_until: datetime | None

    @classmethod
    async def of(cls, store: Store, page: str) -> Self:
        """Make links that hold as long as they can; signed ones, if archive and credentials can sign."""
        signed_until = datetime.now(UTC) + LIFETIME
        try:
            signed = await store.sign(page, lifetime=LIFETIME)
        except ArchiveError as error:
            _log.warning("Links of %s are not signed: %s", page, error)
            signed = None
        return cls(store=store, page=page, signed_until=signed_until if signed else None)

    @property
    def until(self) -> datetime | None:
        """Until when signed links hold, as far as it is known when the credentials end that sign them."""
        return self.signed_until and min(self.signed_until, self.store.expires_at or self.signed_until)

    async def to(self, key: str) -> Link:
        """Return the link to an object.

        Raises:
            ArchiveError: If the credentials to sign with are gone meanwhile.
        """
        relative = quote(posixpath.relpath(key, posixpath.dirname(self.page)))
        if self.signed_until is None:
            return Link(key, relative, None)
        signed = await self.store.sign(key, lifetime=self.signed_until - datetime.now(UTC))
        return Link(key, relative, signed)
