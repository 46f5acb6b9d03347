"""Write the report of a production anew."""

import asyncio
import json as jsons
import shlex
from collections.abc import Iterator
from decimal import Decimal

from cyclopts import App
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli import history as survey
from prefect_seedance.cli.options import PLAIN, Archive, Json, Price, Production
from prefect_seedance.cli.printing import command, program, show, unbroken
from prefect_seedance.report import formatting as words
from prefect_seedance.report import render as reports
from prefect_seedance.report.manifest import Manifest, recorded
from prefect_seedance.report.render import Report
from prefect_seedance.storage.store import Store

app = App(
    name="report",
    default_parameter=PLAIN,
    help_epilogue="`produce` writes it by itself. The links of one in a bucket hold for seven days at most; "
    "this signs them anew.",
)


@app.default
def report(
    archive: Archive, /, name: Production = "", *, price_per_second: Price = None, json: Json = False
) -> int:
    """Write the page that shows a production: its film, its clips, and what they cost."""
    manifest, store, written = asyncio.run(_write(archive, name, price_per_second))
    show(*([_json(manifest, store, written)] if json else _told(manifest, store, written)))
    return 0


async def _write(archive: str, name: str, price: Decimal | None) -> tuple[Manifest, Store, Report]:
    store = await survey.demanded(archive)
    manifest = await recorded(store, name)
    return manifest, store, await reports.write(manifest, store, price_per_second=price)


def _json(manifest: Manifest, store: Store, written: Report) -> str:
    said = {"production": manifest.production, "archive": store.name, **written.model_dump(mode="json")}
    return jsons.dumps(said, indent=2)


def _told(manifest: Manifest, store: Store, written: Report) -> Iterator[RenderableType]:
    yield unbroken(f"Report         {store.link(written.key)}")
    yield unbroken(f"Contact sheet  {store.link(written.contact_sheet)}")
    if written.links_until:
        yield Text(f"\nIts links hold until {words.moment(written.links_until)}.")
    yield Text("\nLook at it:")
    yield command(f"{program()} open {shlex.quote(store.name)} {manifest.production}")
