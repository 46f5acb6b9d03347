"""Join the clips of a production into a film."""

import asyncio
import json as jsons
import shlex
from collections.abc import Iterator

from cyclopts import App
from rich.console import RenderableType
from rich.text import Text

from prefect_seedance.cli.archives import open_existing
from prefect_seedance.cli.options import PLAIN, Archive, JoinOptions, Json, Production
from prefect_seedance.cli.printing import command, count, elapsed, program, show, unbroken
from prefect_seedance.film.scenes import Film
from prefect_seedance.options import JoinStyle
from prefect_seedance.production.steps import join_production
from prefect_seedance.report.manifest import read_manifest, record
from prefect_seedance.storage.store import Store

app = App(
    name="film",
    default_parameter=PLAIN,
    help_epilogue="`produce` also joins the clips of a storyboard. An unchanged film is not joined again.",
)


@app.default
def film(
    archive: Archive,
    name: Production = "",
    /,
    *,
    style: JoinOptions = JoinStyle(),
    json: Json = False,
) -> int:
    """Join the archived clips of a production in order, and list the missing ones."""
    store, made = asyncio.run(_join(archive, name, style))
    show(*([_json(store, made)] if json else _rendered(store, made)))
    return 0


async def _join(archive: str, name: str, style: JoinStyle) -> tuple[Store, Film]:
    store = await open_existing(archive)
    manifest = await read_manifest(store, name)
    made = await join_production(manifest, store, style=style)
    await record(manifest.model_copy(update={"film": made, "film_reason": None}), store)
    return store, made


def _json(store: Store, made: Film) -> str:
    return jsons.dumps({"archive": store.name, **made.model_dump(mode="json")}, indent=2, ensure_ascii=False)


def _rendered(store: Store, made: Film) -> Iterator[RenderableType]:
    yield unbroken(f"Film  {store.link(made.stable_key)}")
    clips = count(sum(not part.is_slate for part in made.parts), "clip")
    how = "copied" if made.join == "copied" else "re-encoded"
    yield Text(f"\n{clips}, {elapsed(made.duration_seconds)}, {made.width}×{made.height}, {how}.")
    if made.reason:
        yield Text(f"Re-encoded because {made.reason}.", "dim")
    for gap in made.gaps:
        yield Text(f"\nClip {gap.number}, {gap.name}, is missing at {elapsed(gap.at_seconds)}", "yellow")
        if gap.reason:
            yield Text(gap.reason, "dim")
    yield Text("\nShow it in the report:")
    yield command(f"{program()} report {shlex.quote(store.name)} {made.production}")
