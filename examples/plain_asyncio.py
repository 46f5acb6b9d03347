"""A production in plain asyncio: no Prefect server, and Prefect is not imported.

It reads SEEDANCE_API_KEY and SEEDANCE_ARCHIVE from the environment.
"""

import asyncio

from prefect_seedance import ClipList, ClipSpec, Progress, Waiting
from prefect_seedance.production.produce import produce

CLIPS = ClipList(title="harbour", clips=(ClipSpec(prompt="fishing boats leave the harbour"),))


def report(progress: Progress) -> None:
    """Print each step of a clip."""
    print(f"{progress.clip.name}: {progress.status} {progress.detail}")


async def main() -> None:
    """Make the clips that the archive lacks, and print where the videos are."""
    manifest = await produce(CLIPS, waiting=Waiting(deadline_seconds=1800), on_progress=report)
    for entry in manifest.clips:
        print(entry.name, entry.status, entry.clip.key if entry.clip else entry.reason)


if __name__ == "__main__":
    asyncio.run(main())
