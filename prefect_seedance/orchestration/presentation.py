"""Make of a production what people look at; nothing of it changes what is true of its clips."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

from prefect_seedance.clips.archive import Clip
from prefect_seedance.errors import SeedanceError
from prefect_seedance.film.assembly import Style
from prefect_seedance.film.seams import ClipInspection, Inspector, Similarity
from prefect_seedance.orchestration import reporting
from prefect_seedance.orchestration.session import RunSettings, Session
from prefect_seedance.orchestration.tasks import inspect_clip, join_film, write_report
from prefect_seedance.report.manifest import Manifest, record
from prefect_seedance.report.seam_check import reviewed
from prefect_seedance.storyboard.plan import PlannedClip
from prefect_seedance.storyboard.schema import ClipList, Storyboard

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is wanted besides the clips.

    Attributes:
        film: Whether to join the clips; by default those of a storyboard, which belong together.
        style: How to join them.
        min_seam: How alike pictures must be that should be one, as structural similarity from 0 to 1; a
            clip that falls short has failed. 0 demands nothing.
        report: Whether to write the page that shows the production.
        price_per_second: What a second of video costs the account; by default what the credentials say.
    """

    film: bool | None = None
    style: Style = Style()
    min_seam: float = 0.0
    report: bool = True
    price_per_second: Decimal | None = None

    def of(self, words: Storyboard | ClipList) -> "Output":
        """Decide what was left open."""
        film = isinstance(words, Storyboard) if self.film is None else self.film
        return replace(self, film=film)

    @property
    def needs_looks(self) -> bool:
        """Whether clips have to be looked at."""
        return bool(self.film or self.report or self.min_seam)


async def looked_at(clip: Clip, planned: PlannedClip, *, order: RunSettings) -> ClipInspection | None:
    """Look at a clip, for which nothing of what may be found there is a reason to fail."""
    try:
        return await inspect_clip(clip, pictures=planned.images, order=order)
    except Exception as error:  # noqa: BLE001 -- it is archived, whatever it looks like
        _unexpected(error, f"Looking at {clip.name}")
        return None


async def present(
    manifest: Manifest,
    wanted: Output,
    *,
    looks: Mapping[str, ClipInspection],
    order: RunSettings,
    session: Session,
) -> Manifest:
    """Make what is wanted, and add it, or why it could not be made, to the account in the archive."""
    nexts = await _nexts(manifest, looks, session.inspector) if wanted.film else {}
    manifest = reviewed(manifest, looks, nexts, min_seam=wanted.min_seam)
    if wanted.film:
        manifest = await _filmed(manifest, wanted, order=order)
    if wanted.report:
        manifest = await _reported(manifest, wanted, order=order, session=session)
    try:
        await record(manifest, session.store)
    except SeedanceError:  # as in the account itself, which stands without
        _log.exception("The manifest of %s lacks its film and report", manifest.production)
    return manifest


async def _nexts(
    manifest: Manifest, looks: Mapping[str, ClipInspection], inspector: Inspector
) -> Mapping[int, Similarity]:
    """Compare each clip's end with the next one's start, where both are there."""
    pairs = {
        entry.number: (looks[entry.fingerprint], looks[following.fingerprint])
        for entry, following in pairwise(manifest.clips)
        if entry.fingerprint in looks and following.fingerprint in looks
    }
    likenesses = await asyncio.gather(*[inspector.next(*pair) for pair in pairs.values()])
    return dict(zip(pairs, likenesses, strict=True))


async def _filmed(manifest: Manifest, wanted: Output, *, order: RunSettings) -> Manifest:
    try:
        film = await join_film(manifest, archive=order.archive, style=wanted.style)
    except Exception as error:  # noqa: BLE001 -- becomes a line of the account
        _unexpected(error, f"The film {manifest.production}")
        return manifest.model_copy(update={"film_reason": str(error)})
    return manifest.model_copy(update={"film": film})


async def _reported(manifest: Manifest, wanted: Output, *, order: RunSettings, session: Session) -> Manifest:
    price = wanted.price_per_second
    if price is None:
        price = order.credentials.price_per_second or None
    try:
        report = await write_report(manifest, order=order, price_per_second=price)
    except Exception as error:  # noqa: BLE001 -- becomes a line of the account
        _unexpected(error, f"The report on {manifest.production}")
        return manifest.model_copy(update={"report_reason": str(error)})
    await reporting.report_written(manifest, report, store=session.store)
    return manifest.model_copy(update={"report": report.key})


def _unexpected(error: Exception, doing: str) -> None:
    if not isinstance(error, SeedanceError):
        _log.error("%s met an unexpected error", doing, exc_info=error)
