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

from prefect_seedance.cli import history as survey
from prefect_seedance.cli.options import PLAIN, Archive, Json, Production
from prefect_seedance.cli.printing import show, unbroken
from prefect_seedance.report import formatting as words
from prefect_seedance.report import render as reports
from prefect_seedance.report.links import Links
from prefect_seedance.report.manifest import production_key, recorded

app = App(
    name="open",
    default_parameter=PLAIN,
    help_epilogue="Without a browser it says where the report is. A bucket's report gets an address that "
    "anyone who has it can open for seven days.",
)


class Address(BaseModel):
    """Where a browser finds a report.

    Attributes:
        until: Until when; None if it holds as long as the archive.
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
    browser: Annotated[bool, Parameter(negative="--no-browser", help="Only say where it is.")] = True,
    json: Json = False,
) -> int:
    """Show the report of a production, which is written first if there is none."""
    address = asyncio.run(_address(archive, name))
    is_open = browser and _has_screen() and webbrowser.open(address.url)
    if json:
        show(jsons.dumps({**address.model_dump(mode="json"), "is_open": is_open}, indent=2))
    else:
        show(*_told(address))
    return 0


async def _address(archive: str, name: str) -> Address:
    store = await survey.demanded(archive)
    manifest = await recorded(store, name)
    key = production_key(manifest.production, reports.PAGE)
    if await store.size_bytes(key) is None:
        await reports.write(manifest, store)
    links = await Links.of(store, key)
    place = store.link(key)
    unsigned = place if "://" in place else Path(place).as_uri()
    url = (await links.to(key)).signed or unsigned
    return Address(production=manifest.production, url=url, until=links.until)


def _has_screen() -> bool:
    """Tell whether a browser would have a window: one within a terminal would take that for itself."""
    chosen = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in {"darwin", "win32"} or any(os.environ.get(name) for name in chosen)


def _told(address: Address) -> Iterator[RenderableType]:
    yield unbroken(address.url)
    if address.until:
        yield Text(f"It can be opened by anyone who has it, until {words.moment(address.until)}.")
