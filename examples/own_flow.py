"""A flow of your own: three tasks make each clip, and the flow uses the videos.

It reads SEEDANCE_API_KEY and SEEDANCE_ARCHIVE from the environment.
"""

import asyncio

from prefect import flow

from prefect_seedance import (
    ClipList,
    ClipSpec,
    Credentials,
    PlannedClip,
    RunSettings,
    SeedanceError,
    Waiting,
    archive_clip,
    plan,
    submit_clip,
    wait_for_clip,
)


@flow(log_prints=True)
async def make_scenes(prompts: list[str]) -> list[str]:
    """Make one clip for each prompt, all at the same time, and return the keys of the videos."""
    clips = ClipList(title="scenes", clips=tuple(ClipSpec(prompt=prompt) for prompt in prompts))
    account = Credentials.from_env()
    planned = await plan(clips, credentials=account)
    settings = RunSettings(
        credentials=account, production=planned.name, waiting=Waiting(deadline_seconds=1800)
    )
    made = await asyncio.gather(*(make(clip, settings) for clip in planned.clips), return_exceptions=True)
    for clip, result in zip(planned.clips, made, strict=True):
        print(f"{clip.name}: {result}")
    return [key for key in made if isinstance(key, str)]


async def make(clip: PlannedClip, settings: RunSettings) -> str:
    """Make one clip. The tasks reuse whatever an earlier run did, so a retry is safe."""
    attempt = await submit_clip(clip, settings=settings)
    attempt = await wait_for_clip(attempt, settings=settings)
    if attempt.outcome and attempt.has_failed:
        raise SeedanceError(f"The generation failed: {attempt.outcome.code} {attempt.outcome.message}")
    video = await archive_clip(attempt, settings=settings)
    return video.key


if __name__ == "__main__":
    asyncio.run(make_scenes(["waves at dawn, gulls crying", "a lighthouse at night, a distant foghorn"]))
