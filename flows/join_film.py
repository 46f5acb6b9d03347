"""Join the archived clips of a production into one film."""

from prefect import State, flow
from prefect.states import Completed

from prefect_seedance import Film, JoinStyle, join_film, options, write_report
from prefect_seedance.orchestration.blocks import open_archive
from prefect_seedance.orchestration.states import explained
from prefect_seedance.report.manifest import read_manifest, record

_STYLE = JoinStyle()


@flow(name="join-film", flow_run_name="join {name}")
@explained
async def join_production(
    archive: options.Archive = "",
    name: options.ExistingProduction = "",
    join: options.Join = _STYLE.join,
    gaps: options.Gaps = _STYLE.gaps,
    crossfade_seconds: options.Crossfade = _STYLE.crossfade_seconds,
) -> State[Film]:
    """Join the archived clips of a production into a film, and show the film in the report.

    It needs no account and buys nothing. A film whose clips and options have not changed is not joined again.
    """
    store = await open_archive(archive)
    manifest = await read_manifest(store, name)
    style = JoinStyle(join=join, gaps=gaps, crossfade_seconds=crossfade_seconds)
    film = await join_film(manifest, archive=archive, style=style)
    manifest = manifest.model_copy(update={"film": film, "film_reason": None})
    report = await write_report(manifest, archive=archive)
    await record(manifest.model_copy(update={"report": report.key, "report_reason": None}), store)
    missing = f", {len(film.gaps)} missing" if film.gaps else ""
    return Completed(message=f"{store.link(film.stable_key)}: {len(film.parts)} clips{missing}", data=film)
