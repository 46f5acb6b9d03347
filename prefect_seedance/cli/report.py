"""Write the report page of a production."""

import asyncio
import json as jsons
import shlex
from collections.abc import Iterator
from decimal import Decimal

from cyclopts import App
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli.archives import open_existing
from prefect_seedance.cli.options import PLAIN, Archive, Json, Price, Production
from prefect_seedance.cli.printing import command, program, show, unbroken
from prefect_seedance.production.steps import report_production
from prefect_seedance.report.formatting import format_time
from prefect_seedance.report.manifest import Manifest, read_manifest
from prefect_seedance.report.recipe import Report
from prefect_seedance.storage.store import Store

app = App(
    name="report",
    default_parameter=PLAIN,
    help_epilogue="`produce` also writes the report. The links of a report in a bucket are valid for at most "
    "seven days; this command renews them.",
)


@app.default
def report(
    archive: Archive, /, name: Production = "", *, price_per_second: Price = None, json: Json = False
) -> int:
    """Write the page that shows a production: its film, its clips and their cost."""
    manifest, store, written = asyncio.run(_write(archive, name, price_per_second))
    show(*([_json(manifest, store, written)] if json else _rendered(manifest, store, written)))
    return 0


async def _write(archive: str, name: str, price: Decimal | None) -> tuple[Manifest, Store, Report]:
    store = await open_existing(archive)
    manifest = await read_manifest(store, name)
    return manifest, store, await report_production(manifest, store, price_per_second=price, keep=False)


def _json(manifest: Manifest, store: Store, written: Report) -> str:
    content = {"production": manifest.production, "archive": store.name, **written.model_dump(mode="json")}
    return jsons.dumps(content, indent=2)


def _rendered(manifest: Manifest, store: Store, written: Report) -> Iterator[RenderableType]:
    yield unbroken(f"Report         {store.link(written.key)}")
    yield unbroken(f"Contact sheet  {store.link(written.contact_sheet)}")
    if written.links_until:
        yield Text(f"\nIts links are valid until {format_time(written.links_until)}.")
    yield Text("\nOpen it:")
    yield command(f"{program()} open {shlex.quote(store.name)} {manifest.production}")
