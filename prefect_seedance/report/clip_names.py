"""Names of clips and films for people, as in their folder and in downloads."""

from prefect_seedance.report.manifest import Entry, Manifest, production_key
from prefect_seedance.storage.file_names import safe_name
from prefect_seedance.storage.store import Store


def clip_file(manifest: Manifest, entry: Entry) -> str:
    """Return the name of a clip's file for people: ``01 dawn → noon.mp4``, or with more digits."""
    digits = max(2, len(str(len(manifest.clips))))
    return f"{entry.number:0{digits}d} {safe_name(entry.name)}".rstrip() + ".mp4"


def film_file(manifest: Manifest) -> str:
    """Return the name of the film's file for people: ``Lighthouse.mp4``."""
    return f"{safe_name(manifest.title) or manifest.production}.mp4"


async def name_clips(manifest: Manifest, store: Store) -> Manifest:
    """Give the archived clips names for people, and note their folder in the manifest.

    The names are hard links in a folder. A bucket has none, because copies would cost as much as the clips.

    Raises:
        ArchiveError: The folder cannot be written.
    """
    folder = production_key(manifest.production, "clips")
    names = {clip_file(manifest, entry): entry.clip.key for entry in manifest.clips if entry.clip}
    has_names = await store.link_objects(folder, names)
    return manifest.model_copy(update={"clips_folder": folder if has_names and names else None})
