"""Render a production's report as one page that needs nothing but its videos."""

import base64
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path, PurePosixPath

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from prefect_seedance.report import formatting as words
from prefect_seedance.report.cards import Card
from prefect_seedance.report.links import Link
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.report.timeline import Axis

_HERE = Path(__file__).parent
_STYLE = (_HERE / "page.css").read_text(encoding="utf-8")

_templates = Environment(
    loader=FileSystemLoader(_HERE),
    autoescape=True,
    enable_async=True,
    undefined=StrictUndefined,
)
_templates.filters |= {
    "moment": words.moment,
    "seconds": words.seconds,
    "size": words.size,
    "pause": words.pause,
    "verdict": words.verdict,
    "name": lambda key: PurePosixPath(key).name,
}


@dataclass(frozen=True, kw_only=True)
class Frames:
    """A card with its pictures, as URLs that hold them; None where there is none."""

    card: Card
    start: str | None
    middle: str | None
    end: str | None


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that a page says.

    Attributes:
        film: Where the film is, if there is one.
        poster: The film's first picture, as a URL that holds it.
        manifest_link: Where the manifest is.
        until: Until when signed links hold; None if there are none.
        renewal: The command that signs them anew.
        price_per_second: What a second of video costs the account, in its currency, if that is known.
    """

    manifest: Manifest
    cards: Sequence[Card]
    film: Link | None
    poster: str | None
    manifest_link: Link
    until: datetime | None
    renewal: str
    price_per_second: Decimal | None

    def html(self, frames: AsyncIterator[Frames]) -> AsyncIterator[str]:
        """Yield the page piece by piece, taking in its pictures only when their turn comes."""
        return _templates.get_template("page.html").generate_async(
            manifest=self.manifest,
            cards=self.cards,
            frames=frames,
            film=self.manifest.film,
            film_link=self.film,
            poster=self.poster,
            manifest_link=self.manifest_link,
            until=self.until,
            renewal=self.renewal,
            account=self.account,
            sums=self.sums,
            missing=self.missing,
            axis=Axis(card.span for card in self.cards if card.span),
            written_at=datetime.now(UTC),
            style=Markup(_STYLE),  # noqa: S704 -- our own file
            policy=self._policy(),
        )

    @property
    def missing(self) -> Sequence[Entry]:
        """The clips without a video."""
        return [entry for entry in self.manifest.clips if not entry.clip]

    @property
    def billed_seconds(self) -> int:
        """Seconds of video that may have been billed for the production, by whatever runs."""
        return sum(card.billed_seconds for card in self.cards)

    @property
    def account(self) -> str:
        """The production in one line."""
        clips, archived = len(self.cards), len(self.cards) - len(self.missing)
        seconds = sum(entry.clip.facts.duration_seconds for entry in self.manifest.clips if entry.clip)
        length = f"{words.seconds(seconds)} of video" if archived else "no video yet"
        if archived == clips:
            return f"{'The clip is' if clips == 1 else f'All {clips:,} clips are'} archived: {length}."
        return f"{archived:,} of {clips:,} clips are archived: {length}."

    @property
    def sums(self) -> Mapping[str, str]:
        """The figures that people ask for first."""
        manifest, film = self.manifest, self.manifest.film
        counts = ", ".join(f"{count:,} {status}" for status, count in manifest.counts.items())
        found = {
            "Film": film and words.seconds(film.duration_seconds),
            "Clips in the last run": counts,
            "Billed in all": f"{self.billed_seconds:,} s of video",
            "Billed by the last run": f"{manifest.billed_seconds:,} s of video",
            f"Cost at {self.price_per_second} a second": self._cost,
            "Model": manifest.model,
        }
        return {name: figure for name, figure in found.items() if figure}

    @property
    def _cost(self) -> str | None:
        if self.price_per_second is None:
            return None
        return f"{self.billed_seconds * self.price_per_second:,}"

    def _policy(self) -> str:
        """Permit this page's style and pictures, and videos from the archive alone."""
        digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
        linked = [self.film, self.manifest_link, *(card.video for card in self.cards)]
        origins = sorted({link.origin for link in linked if link and link.origin})
        media = " ".join(("'self'", "file:", *origins))
        return (
            f"default-src 'none'; img-src data:; media-src {media}; style-src 'sha256-{digest}'; "
            "base-uri 'none'; form-action 'none'"
        )
