"""Make of a production what people look at; nothing of it changes what is true of its clips."""

import logging
from dataclasses import dataclass
from decimal import Decimal

from prefect_seedance import reporting
from prefect_seedance.errors import SeedanceError
from prefect_seedance.manifest import Manifest, production_key
from prefect_seedance.session import Order, Session
from prefect_seedance.tasks import write_report

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """What is wanted besides the clips.

    Attributes:
        report: Whether to write the page that shows the production.
        price_per_second: What a second of video costs the account; by default what the credentials say.
    """

    report: bool = True
    price_per_second: Decimal | None = None


async def present(manifest: Manifest, wanted: Presentation, *, order: Order, session: Session) -> Manifest:
    """Make what is wanted, and add it, or why it could not be made, to the account in the archive."""
    if wanted.report:
        manifest = await _reported(manifest, wanted, order=order, session=session)
    try:
        key = production_key(manifest.production, "manifest.json")
        await session.store.put(key, manifest.model_dump_json(indent=2).encode())
    except SeedanceError:  # as in the account itself, which stands without
        _log.exception("The manifest of %s lacks its film and report", manifest.production)
    return manifest


async def _reported(manifest: Manifest, wanted: Presentation, *, order: Order, session: Session) -> Manifest:
    price = wanted.price_per_second
    if price is None:
        price = order.credentials.price_per_second or None
    try:
        report = await write_report(manifest, order=order, price_per_second=price)
    except Exception as error:  # noqa: BLE001 -- becomes a line of the account
        if not isinstance(error, SeedanceError):
            _log.exception("The report on %s met an unexpected error", manifest.production)
        return manifest.model_copy(update={"report_reason": str(error)})
    await reporting.report_written(manifest, report, store=session.store)
    return manifest.model_copy(update={"report": report.key})
