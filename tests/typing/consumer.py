"""A program that uses the public names, for type checkers to check as its author would see it."""

from pathlib import Path
from typing import assert_type

from prefect import flow

from prefect_seedance import (
    Clip,
    ClipArchive,
    ClipList,
    ClipSpec,
    ClipStatus,
    Credentials,
    Hosting,
    JoinStyle,
    Manifest,
    Output,
    PlannedClip,
    Progress,
    RetryPolicy,
    RunSettings,
    SeedanceClient,
    SeedanceClip,
    SeedanceClipRun,
    SeedanceCredentials,
    SeedanceError,
    Shot,
    Storyboard,
    Waiting,
    archive_clip,
    load_storyboard,
    plan,
    produce,
    submit_clip,
    wait_for_clip,
)


@flow
async def night(archive: str) -> list[str]:
    """Make a production, and name the clips that are missing."""
    board = Storyboard(shots=(Shot(image="dawn.png", prompt="slow dolly in"), Shot(image="noon.png")))
    manifest = await produce(
        board,
        archive=archive,
        hosting=Hosting(images_url="https://cdn.example/"),
        retry=RetryPolicy(retry_failed=True),
        waiting=Waiting(deadline_seconds=3600),
        output=Output(film=False, min_similarity=0.8),
        on_progress=report,
    )
    assert_type(manifest, Manifest)
    return [entry.name for entry in manifest.clips if entry.status is not ClipStatus.made]


def report(progress: Progress) -> None:
    """Show the progress."""
    print(progress)  # noqa: T201 -- a program's output


async def one(settings: RunSettings, clip: PlannedClip) -> Clip:
    """Make one clip, step by step."""
    attempt = await submit_clip(clip, settings=settings)
    ended = await wait_for_clip(attempt, settings=settings)
    return await archive_clip(ended, settings=settings)


async def stored(prompt: str) -> Clip:
    """Make a clip that is stored as a block."""
    block = SeedanceClip(
        prompt=prompt,
        credentials=SeedanceCredentials.from_env(),
        archive=ClipArchive(url="s3://clips"),
    )
    run = await block.atrigger()
    assert_type(run, SeedanceClipRun)
    return await run.afetch_result()


async def balance(credentials: Credentials) -> object:
    """Read the balance of an account."""
    async with credentials.get_client() as client:
        assert_type(client, SeedanceClient)
        return await client.balance()


def separate() -> ClipList:
    """Describe separate clips."""
    return ClipList(clips=(ClipSpec(prompt="a bell rings"),))


async def planned(path: Path) -> list[str]:
    """Plan a storyboard, and return the fingerprints of its clips."""
    try:
        board = await plan(await load_storyboard(str(path)))
    except SeedanceError as error:
        raise SystemExit(str(error)) from error
    return [clip.fingerprint for clip in board.clips]


STYLE = JoinStyle(crossfade_seconds=0.5)
