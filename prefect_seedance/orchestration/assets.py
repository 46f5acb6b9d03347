"""Report clips and films to Prefect as assets, with the assets they were made from."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from prefect import runtime
from prefect.assets import Asset, AssetProperties
from prefect.context import AssetContext
from prefect.events import emit_event
from pydantic import ValidationError

from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.records import clip_prefix
from prefect_seedance.printable import get_logger, one_line
from prefect_seedance.report.manifest import Manifest, production_key

_log = get_logger(__name__)

_MATERIALIZED_BY = "prefect-seedance"

_MAX_SOURCES = 80
"""Prefect rejects an event with more than 100 related resources, and adds some for the run itself."""

_ESCAPED = str.maketrans(dict.fromkeys(" #?&%\"'<>[]{}|\\^`\n\r\t\0", "_"))
"""Characters that Prefect rejects in the key of an asset."""


def clip_archived(clip: Clip, *, archive: str, production: str) -> None:
    """Report a clip as made from its storyboard.

    Args:
        clip: The archived clip.
        archive: The store's URL.
        production: The production's name; empty for a clip without one, which has no storyboard.
    """
    sources = [_storyboard(archive, production)] if production else []
    metadata = {
        "file": clip.key,
        "sha256": clip.sha256,
        "generation": clip.generation_id,
        "model": clip.model,
        "duration_seconds": clip.facts.duration_seconds,
    }
    _materialize(_key(archive, clip_prefix(clip.fingerprint)), clip.name, sources, metadata)
    for source in sources:
        _refer(source, runtime.flow_run.id)


def film_joined(manifest: Manifest) -> None:
    """Report a film as made from its clips; a very long film, from its first 80."""
    film = manifest.film
    if film is None:
        return
    parts = dict.fromkeys(part.fingerprint for part in film.parts if not part.is_slate)
    sources = [_key(manifest.archive, clip_prefix(fingerprint)) for fingerprint in parts]
    metadata = {
        "file": film.key,
        "sha256": film.sha256,
        "clips": len(parts),
        "missing": len(film.gaps),
        "duration_seconds": film.duration_seconds,
    }
    _materialize(_key(manifest.archive, film.stable_key), film.title, sources[:_MAX_SOURCES], metadata)


def _materialize(key: str, name: str, sources: Sequence[str], metadata: Mapping[str, object]) -> None:
    """Emit the event of an asset that was made.

    Prefect's `AssetContext` would emit another event for each source, every time.
    """
    try:
        asset = Asset(key=key, properties=AssetProperties(name=one_line(name)))
        made_from = [AssetContext.asset_as_related(Asset(key=source)) for source in sources]
    except ValidationError as error:  # the path of a folder can be too long for a key
        _log.warning("Could not record the asset %s in Prefect; the file is in the archive: %s", key, error)
        return
    emit_event(
        event="prefect.asset.materialization.succeeded",
        resource=AssetContext.asset_as_resource(asset),
        related=[*made_from, AssetContext.related_materialized_by(_MATERIALIZED_BY)],
        payload=dict(metadata),
    )


@lru_cache(maxsize=1_000)
def _refer(key: str, _flow_run_id: str | None) -> None:
    """Emit once that a flow run used an asset that none has made: the author's storyboard."""
    emit_event(event="prefect.asset.referenced", resource={"prefect.resource.id": key}, related=[])


def _storyboard(archive: str, production: str) -> str:
    return _key(archive, production_key(production, "storyboard.json"))


def _key(archive: str, key: str) -> str:
    url = archive if "://" in archive else f"file://{archive}"
    return f"{url}/{key}".rstrip("/").translate(_ESCAPED)
