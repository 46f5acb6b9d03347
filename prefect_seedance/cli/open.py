"""Open a production's report in a browser."""

import asyncio
import json as jsons
import os
import sys
import webbrowser
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import BaseModel, ConfigDict
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli.archives import open_existing
from prefect_seedance.cli.options import PLAIN, Archive, Json, Production
from prefect_seedance.cli.printing import show, unbroken
from prefect_seedance.production.steps import report_production
from prefect_seedance.report.formatting import format_time
from prefect_seedance.report.links import Links
from prefect_seedance.report.manifest import production_key, read_manifest
from prefect_seedance.report.render import PAGE

app = App(
    name="open",
    default_parameter=PLAIN,
    help_epilogue="The command also prints the URL. The URL of a report in a bucket is signed: anyone who "
    "has it can open the report for up to seven days.",
)


class ReportUrl(BaseModel):
    """The URL of a report.

    Attributes:
        until: When the URL expires; None if it does not.
    """

    model_config = ConfigDict(frozen=True)

    production: str
    url: str
    until: datetime | None


@app.default
def open_report(
    archive: Archive,
    /,
    name: Production = "",
    *,
    browser: Annotated[bool, Parameter(negative="--no-browser", help="Open the report in a browser.")] = True,
    json: Json = False,
) -> int:
    """Open the report of a production, and write it first if there is none."""
    report = asyncio.run(_find(archive, name))
    is_open = browser and _has_display() and webbrowser.open(report.url)
    if json:
        show(jsons.dumps({**report.model_dump(mode="json"), "is_open": is_open}, indent=2))
    else:
        show(*_rendered(report))
    return 0


async def _find(archive: str, name: str) -> ReportUrl:
    store = await open_existing(archive)
    manifest = await read_manifest(store, name)
    key = production_key(manifest.production, PAGE)
    if await store.size_bytes(key) is None:
        await report_production(manifest, store, price_per_second=None)
    links = await Links.of(store, key)
    path = store.link(key)
    unsigned = path if "://" in path else Path(path).as_uri()
    url = (await links.to(key)).signed or unsigned
    return ReportUrl(production=manifest.production, url=url, until=links.until)


def _has_display() -> bool:
    """Whether a browser can open a window; one in the terminal would take that over."""
    chosen = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in {"darwin", "win32"} or any(os.environ.get(name) for name in chosen)


def _rendered(report: ReportUrl) -> Iterator[RenderableType]:
    yield unbroken(report.url)
    if report.until:
        yield Text(f"Anyone who has this URL can open the report until {format_time(report.until)}.")
