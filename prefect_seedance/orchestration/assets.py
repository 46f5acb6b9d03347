"""Tell Prefect what was made of what, as assets: the storyboard's clips, the clips' film."""

import logging
from collections.abc import Iterable, Mapping

from prefect.assets import Asset, AssetProperties
from prefect.context import AssetContext
from prefect.states import Completed
from pydantic import ValidationError

from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.records import clip_prefix
from prefect_seedance.report.manifest import Manifest, production_key

_log = logging.getLogger(__name__)

_MADE_BY = "prefect-seedance"

_SOURCES_MOST = 80
"""Prefect refuses an event with more than 100 related resources, of which the run takes some itself."""

_REFUSED = str.maketrans(dict.fromkeys(" #?&%\"'<>[]{}|\\^`\n\r\t\0", "_"))
"""Characters that Prefect permits in no asset's key."""


def clip_archived(clip: Clip, *, archive: str, production: str) -> None:
    """Tell that a clip was made of its storyboard.

    Args:
        clip: What was archived.
        archive: The store's URL.
        production: For whom it was made; if empty, it is nobody's.
    """
    sources = [_storyboard(archive, production)] if production else []
    said = {
        "file": clip.key,
        "sha256": clip.sha256,
        "generation": clip.generation_id,
        "model": clip.model,
        "duration_seconds": clip.facts.duration_seconds,
    }
    _materialized(_key(archive, clip_prefix(clip.fingerprint)), clip.name, sources, said)


def film_joined(manifest: Manifest) -> None:
    """Tell that a film was made of its clips; of a very long one, of its first."""
    film = manifest.film
    if film is None:
        return
    parts = dict.fromkeys(part.fingerprint for part in film.parts if not part.is_slate)
    sources = [_key(manifest.archive, clip_prefix(fingerprint)) for fingerprint in parts]
    said = {
        "file": film.key,
        "sha256": film.sha256,
        "clips": len(parts),
        "missing": len(film.gaps),
        "duration_seconds": film.duration_seconds,
    }
    _materialized(_key(manifest.archive, film.stable_key), film.title, sources[:_SOURCES_MOST], said)


def _materialized(key: str, name: str, sources: Iterable[str], said: Mapping[str, object]) -> None:
    try:
        asset = Asset(key=key, properties=AssetProperties(name=name))
        context = AssetContext(
            downstream_assets={asset},
            direct_asset_dependencies={Asset(key=source) for source in sources},
            materialized_by=_MADE_BY,
            materialization_metadata={key: dict(said)},
        )
    except ValidationError as error:  # a folder's path that is too long to be a key
        _log.warning("Prefect is not told of the asset %s: %s", key, error)
        return
    context.emit_events(Completed())


def _storyboard(archive: str, production: str) -> str:
    return _key(archive, production_key(production, "storyboard.json"))


def _key(archive: str, key: str) -> str:
    place = archive if "://" in archive else f"file://{archive}"
    return f"{place}/{key}".rstrip("/").translate(_REFUSED)
