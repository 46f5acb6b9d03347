"""Join the archived clips of a production to one film."""

from typing import Annotated, Literal

from prefect import State, flow
from prefect.states import Completed
from pydantic import Field

from prefect_seedance import Film, Style, join_film
from prefect_seedance.orchestration.blocks import open_archive
from prefect_seedance.report import render as reports
from prefect_seedance.report.manifest import record, recorded


@flow(name="join-film", flow_run_name="join {name}")
async def join_production(
    archive: str = "",
    name: str = "",
    join: Literal["auto", "exact"] = "auto",
    gaps: Literal["skip", "slate"] = "skip",
    crossfade_seconds: Annotated[float, Field(ge=0, le=2)] = 0.0,
) -> State[Film]:
    """Join what a production has archived, and show it in its report.

    It needs no account and buys nothing. What has not changed is not joined again.

    Args:
        archive: A folder's path, s3://, gs://, az:// with a bucket, or block:NAME. Left out, the worker's
            SEEDANCE_ARCHIVE holds.
        name: The production's name or title; may be left out if the archive has one only.
        join: auto leaves alike clips untouched; exact encodes all anew.
        gaps: Go on where a clip is missing, or show a slate as long as it would last.
        crossfade_seconds: How long the sounds of two clips blend at their cut; encodes all anew.
    """
    store = await open_archive(archive)
    manifest = await recorded(store, name)
    style = Style(join=join, gaps=gaps, crossfade_seconds=crossfade_seconds)
    film = await join_film(manifest, archive=archive, style=style)
    manifest = manifest.model_copy(update={"film": film, "film_reason": None})
    report = await reports.write(manifest, store)
    await record(manifest.model_copy(update={"report": report.key, "report_reason": None}), store)
    missing = f", {len(film.gaps)} missing" if film.gaps else ""
    return Completed(message=f"{store.link(film.stable_key)}: {len(film.parts)} clips{missing}", data=film)
