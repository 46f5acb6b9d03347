"""A clip as a stored block: save it once, then trigger it by its name from any flow.

It reads SEEDANCE_API_KEY and SEEDANCE_ARCHIVE from the environment.
"""

import asyncio

from prefect import flow

from prefect_seedance import ClipSettings, SeedanceClip


async def store() -> None:
    """Save the clip as a block, with its account and its archive."""
    clip = SeedanceClip.from_env(
        prompt="a bell rings over the sea, gulls crying", settings=ClipSettings(sound=True)
    )
    await clip.asave("bell", overwrite=True)


@flow(log_prints=True)
async def ring() -> str:
    """Make the stored clip, or find it in the archive, and return the key of its video."""
    bell: SeedanceClip = await SeedanceClip.aload("bell")
    run = await bell.atrigger()
    await run.await_for_completion()
    clip = await run.afetch_result()
    print(f"{clip.key}: {clip.size_bytes} bytes")
    return clip.key


async def main() -> None:
    """Store the clip, then make it."""
    await store()
    await ring()


if __name__ == "__main__":
    asyncio.run(main())
