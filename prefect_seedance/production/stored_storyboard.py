"""Store the storyboard of a production beside its manifest."""

from prefect_seedance.report.manifest import production_key
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.parser import ParsedStoryboard


async def store_storyboard(parsed: ParsedStoryboard, store: Store, *, production: str) -> None:
    """Store a storyboard as it was parsed, without signatures, unless the stored one is equal.

    Raises:
        ArchiveError: If the archive cannot be read or written.
    """
    content = parsed.storyboard.without_signatures().model_dump_json(indent=2, exclude_none=True).encode()
    key = production_key(production, "storyboard.json")
    if await store.read(key) != content:
        await store.put(key, content)
