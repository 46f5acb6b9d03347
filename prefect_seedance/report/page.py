"""Render a report as one page that loads nothing but videos."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from markupsafe import Markup

from prefect_seedance.report.cards import Card
from prefect_seedance.report.clip_names import film_file
from prefect_seedance.report.formatting import format_duration
from prefect_seedance.report.links import Link
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.report.templates import templates
from prefect_seedance.report.timeline import Axis

_HERE = Path(__file__).parent
_STYLE = (_HERE / "page.css").read_text(encoding="utf-8")

_CARDS = "<!-- cards -->"
"""Where the cards belong; text of others cannot contain it, because it is escaped."""


@dataclass(frozen=True, kw_only=True)
class Frames:
    """A card and its frames as data URLs; None for a missing frame."""

    card: Card
    start: str | None
    middle: str | None
    end: str | None


def render_card(frames: Frames) -> str:
    """Return the part of a page that shows one clip."""
    return str(templates.get_template("card.html").module.card_of(frames))  # type: ignore[attr-defined]  # a macro


@dataclass(frozen=True, kw_only=True)
class Page:
    """The content of a page.

    Attributes:
        film: Link to the film, if there is one.
        poster: The film's first frame as a data URL.
        manifest_link: Link to the manifest.
        until: When signed links expire; None if there are none.
        renewal: The command that renews them.
        price_per_second: Price of one second of video, in the account's currency, if it is known.
    """

    manifest: Manifest
    cards: Sequence[Card]
    film: Link | None
    poster: str | None
    manifest_link: Link
    until: datetime | None
    renewal: str
    price_per_second: Decimal | None

    def around(self) -> tuple[str, str]:
        """Return the page before and after the cards."""
        before, _, after = self._html(Markup(_CARDS)).partition(_CARDS)  # noqa: S704 -- our own text
        return before, after

    def _html(self, rendered: Markup) -> str:
        return templates.get_template("page.html").render(
            manifest=self.manifest,
            cards=rendered,
            spans=[card for card in self.cards if card.span],
            film=self.manifest.film,
            film_link=self.film,
            film_name=film_file(self.manifest),
            poster=self.poster,
            manifest_link=self.manifest_link,
            until=self.until,
            renewal=self.renewal,
            summary=self.summary,
            figures=self.figures,
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
        """Seconds of video that may have been billed for the production, in all runs."""
        return sum(card.billed_seconds for card in self.cards) + self._former_seconds

    @property
    def _former_seconds(self) -> int:
        return sum(clip.billed_seconds for clip in self.manifest.former)

    @property
    def summary(self) -> str:
        """The production in one line."""
        clips, archived = len(self.cards), len(self.cards) - len(self.missing)
        seconds = sum(entry.clip.facts.duration_seconds for entry in self.manifest.clips if entry.clip)
        length = f"{format_duration(seconds)} of video" if archived else "no video yet"
        if archived == clips:
            return f"{'The clip is' if clips == 1 else f'All {clips:,} clips are'} archived: {length}."
        return f"{archived:,} of {clips:,} clips are archived: {length}."

    @property
    def figures(self) -> Mapping[str, str]:
        """The most important figures, by name."""
        manifest, film = self.manifest, self.manifest.film
        counts = ", ".join(f"{count:,} {status}" for status, count in manifest.counts.items())
        figures = {
            "Film": film and format_duration(film.duration_seconds),
            "Clips in the last run": counts,
            "Billed in total": f"{self.billed_seconds:,} s of video",
            "Billed for clips no longer in the storyboard": self._former_seconds
            and f"{self._former_seconds:,} s of video",
            "Billed by the last run": f"{manifest.billed_seconds:,} s of video",
            f"Cost at {self.price_per_second} a second": self._cost,
            "Cost at the prices of the models": self._cost_by_model,
            "Model": manifest.model,
        }
        return {name: figure for name, figure in figures.items() if figure}

    @property
    def _cost(self) -> str | None:
        if self.price_per_second is None:
            return None
        return f"{self.billed_seconds * self.price_per_second:,}"

    @property
    def _cost_by_model(self) -> str | None:
        """The cost of all clips, if each price is known, and the account has none of its own."""
        costs = [card.cost for card in self.cards if card.cost is not None]
        is_known = len(costs) == len(self.cards) and not self._former_seconds
        total = sum(costs, Decimal(0))
        return f"{total:,}" if is_known and total and self.price_per_second is None else None

    def _policy(self) -> str:
        """Return a content security policy: only our style, embedded images and archived videos."""
        digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
        linked = [self.film, self.manifest_link, *(card.video for card in self.cards)]
        origins = sorted({link.origin for link in linked if link and link.origin})
        media = " ".join(("'self'", "file:", *origins))
        return (
            f"default-src 'none'; img-src data:; media-src {media}; style-src 'sha256-{digest}'; "
            "base-uri 'none'; form-action 'none'"
        )
