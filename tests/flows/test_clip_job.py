"""A clip as a job block: what Prefect's users do with it, in sync and in async code."""

import ast
import asyncio
import os
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect import flow, task
from prefect.runtime import flow_run

from prefect_seedance import Clip, ClipArchive, ClipSettings, Polling, SeedanceClip
from prefect_seedance.errors import (
    ContentRejectedError,
    DeadlineError,
    SetupError,
    StoryboardError,
    SubmissionUnresolvedError,
)
from tests.flows.conftest import Api, account
from tests.processes import ROOT, Sandbox, environment, running

QUICK = Polling(first_seconds=0.3, every_seconds=0.2)
_SOON_SECONDS = 60.0


@pytest.fixture
def job(sandbox: Sandbox, archive: Path) -> SeedanceClip:
    """Return a clip from words, on the sandbox's account."""
    return SeedanceClip(
        prompt="a bell rings",
        credentials=account(sandbox),
        archive=str(archive),
        pace=QUICK,
        deadline_seconds=60,
    )


def changed(job: SeedanceClip, **fields: object) -> SeedanceClip:
    """Return a block that differs in these fields."""
    return job.model_copy(update=fields)


def test_sync_flow_uses_stored_block(job: SeedanceClip, archive: Path, sandbox: Sandbox, api: Api) -> None:
    """A sync flow loads the block by name and has its clip, by one task run for each step."""
    changed(job, archive=ClipArchive(url=str(archive))).save("stored-bell", overwrite=True)

    @flow
    def film() -> tuple[str, Clip]:
        """Do as the block's example does."""
        run = SeedanceClip.load("stored-bell").trigger()
        run.wait_for_completion()
        return flow_run.id, run.fetch_result()

    run_id, made = film()

    assert (archive / made.key).stat().st_size == made.size_bytes
    names = {run["name"] for run in api.task_runs(run_id)}
    assert names == {"submit stored-bell", "wait for stored-bell", "archive stored-bell"}
    assert sandbox.totals()["accepted"] == 1


async def test_triggered_again_is_the_same(job: SeedanceClip, sandbox: Sandbox) -> None:
    """However often it is triggered, at once or later, there is one clip, and it is paid for once."""

    @flow
    async def film() -> list[Clip]:
        runs = await asyncio.gather(*[job.atrigger() for _ in range(3)])
        await asyncio.gather(*[run.await_for_completion() for run in runs])
        return [await run.afetch_result() for run in [*runs, await job.atrigger()]]

    made = await film()

    assert len(made) == 4
    assert len({each.model_dump_json() for each in made}) == 1
    assert sandbox.totals()["submits_received"] == 1


async def test_changed_clip_is_another(job: SeedanceClip, sandbox: Sandbox) -> None:
    """Another take is another clip, and bought for itself."""
    again = changed(job, take=2)

    first, second = await job.atrigger(), await again.atrigger()

    assert first.fingerprint != second.fingerprint
    assert sandbox.totals()["accepted"] == 2


async def test_run_is_found_by_fingerprint(job: SeedanceClip, sandbox: Sandbox) -> None:
    """Another process needs the fingerprint, the archive and the account, and not the clip's words."""
    fingerprint = (await job.atrigger()).fingerprint
    stranger = changed(job, prompt="something else")

    made = await stranger.run_of(fingerprint).afetch_result()

    assert made.request.input.prompt == "a bell rings"
    assert sandbox.totals()["submits_received"] == 1


async def test_unknown_fingerprint_is_refused(job: SeedanceClip, archive: Path) -> None:
    """A fingerprint that the ledger does not have says where it was looked for."""
    with pytest.raises(SetupError, match=f"Nothing was asked for as 0123 in {archive}"):
        await job.run_of("0123").await_for_completion()


_SCRIPT = """
import sys
from prefect_seedance import SeedanceClip

clip = SeedanceClip.load("killed-bell")
print("triggering", flush=True)
run = clip.trigger()
print(run.fingerprint, flush=True)
run.wait_for_completion()
"""


@pytest.fixture
def start(job: SeedanceClip, prefect_server: str, tmp_path: Path) -> Callable[..., object]:
    """Return how to start a process that triggers the stored block."""
    job.save("killed-bell", overwrite=True)
    env = environment(tmp_path / "prefect", PREFECT_API_URL=prefect_server)

    def started(program: str = _SCRIPT) -> object:
        (tmp_path / "theirs.py").write_text(program, encoding="utf-8")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        return running(sys.executable, tmp_path / "theirs.py", env=env, **pipes)

    return started


def test_killed_run_is_taken_in(start: Callable[..., object], job: SeedanceClip, sandbox: Sandbox) -> None:
    """Killed while it waits, a process leaves a run that the next trigger takes in."""
    sandbox.faults({"kind": "generation", "fault": "take-longer", "factor": 10})
    with start() as process:  # type: ignore[attr-defined]  # a context manager
        process.stdout.readline()
        fingerprint = process.stdout.readline().strip()
        os.killpg(process.pid, signal.SIGKILL)

    run = job.trigger()

    assert run.fingerprint == fingerprint
    assert run.fetch_result().fingerprint == fingerprint
    assert sandbox.totals()["submits_received"] == 1


async def test_killed_submission_stays_unresolved(
    start: Callable[..., object], job: SeedanceClip, sandbox: Sandbox, archive: Path
) -> None:
    """Killed before the answer was recorded, nobody buys it again: trigger and run say what to do."""
    hasty = changed(job, timeout_seconds=1)
    await hasty.asave("killed-bell", overwrite=True)
    sandbox.faults({"kind": "submit", "fault": "accept-then-hang"})
    with start() as process:  # type: ignore[attr-defined]  # a context manager
        await asyncio.to_thread(_until, lambda: sandbox.totals()["accepted"] == 1)
        os.killpg(process.pid, signal.SIGKILL)
    (fingerprint,) = [path.name for path in (archive / "clips").iterdir()]

    for ask in (hasty.atrigger, hasty.run_of(fingerprint).afetch_result):
        with pytest.raises(SubmissionUnresolvedError, match=f"resolve {archive} {fingerprint[:12]} --adopt"):
            await ask()

    assert sandbox.totals()["submits_received"] == 1


_FLOWS = {
    "program": _SCRIPT,
    "sync flow": """
from prefect import flow
from prefect_seedance import SeedanceClip

@flow
def film():
    SeedanceClip.load("killed-bell").trigger()

film()
""",
    "async flow": """
import asyncio
from prefect import flow
from prefect_seedance import SeedanceClip

@flow
async def film():
    bell = await SeedanceClip.aload("killed-bell")
    again = bell.model_copy(update={"take": 2})
    await asyncio.gather(bell.atrigger(), again.atrigger())

asyncio.run(film())
""",
}


@pytest.mark.parametrize(
    ("kind", "number", "clips"),
    [("program", signal.SIGINT, 1), ("sync flow", signal.SIGTERM, 1), ("async flow", signal.SIGTERM, 2)],
    ids=_FLOWS,
)
def test_stopped_submission_records_its_answer(
    start: Callable[..., object],
    sandbox: Sandbox,
    archive: Path,
    kind: str,
    number: signal.Signals,
    clips: int,
) -> None:
    """Stopped while submissions are on their way, a process records their answers before it ends."""
    sandbox.faults({"kind": "submit", "fault": "slow", "seconds": 1.0})
    with start(_FLOWS[kind]) as process:  # type: ignore[attr-defined]  # a context manager
        _until(lambda: len(list(archive.glob("clips/*/*/intent.json"))) == clips)
        time.sleep(0.2)
        process.send_signal(number)
        process.wait(30)

    assert sandbox.totals()["accepted"] == clips
    assert len(list(archive.glob("clips/*/*/accepted.json"))) == clips


async def test_deadline_is_not_the_end(job: SeedanceClip, sandbox: Sandbox) -> None:
    """Who stops waiting is told that the generation goes on, and can wait again."""
    sandbox.faults({"kind": "generation", "fault": "take-longer", "factor": 10})
    run = await changed(job, deadline_seconds=1.0).atrigger()

    with pytest.raises(DeadlineError, match=r"a bell rings is still in flight.*paid for once"):
        await run.await_for_completion()

    assert (await job.run_of(run.fingerprint).afetch_result()).name == "a bell rings"
    assert sandbox.totals()["submits_received"] == 1


async def test_rejected_clip_raises(job: SeedanceClip, sandbox: Sandbox) -> None:
    """A clip without a video raises wherever it is asked for, and is bought again only by leave."""
    sandbox.faults({"kind": "generation", "fault": "fail", "code": "CONTENT_VIOLATION"})
    run = await job.atrigger()

    for ask in (run.await_for_completion, run.afetch_result, job.atrigger):
        with pytest.raises(ContentRejectedError, match="CONTENT_VIOLATION"):
            await ask()
    assert sandbox.totals()["submits_received"] == 1

    sandbox.faults()
    allowed = await changed(job, retry_rejected=True).atrigger()
    assert (await allowed.afetch_result()).attempt == 2


async def test_wrong_setup_costs_nothing(job: SeedanceClip, sandbox: Sandbox, board: Path) -> None:
    """What cannot work is refused before anything is sent."""
    image = str(board.with_name("dawn.png"))

    with pytest.raises(SetupError, match="no stored archive named 'nowhere'"):
        await changed(job, archive="block:nowhere").atrigger()
    with pytest.raises(StoryboardError, match="absolute path and allow images outside"):
        await changed(job, images=(image,)).atrigger()
    with pytest.raises(SetupError, match=r"dawn\.png is a local image"):
        await changed(job, images=(image,), allow_outside=True).atrigger()
    with pytest.raises(StoryboardError, match="5 is not offered"):
        await changed(job, settings=ClipSettings(duration=5)).atrigger()

    assert sandbox.totals()["submits_received"] == 0


async def test_images_are_hosted(job: SeedanceClip, sandbox: Sandbox, board: Path) -> None:
    """Local images, by absolute path, become a clip's ends."""
    images = tuple(str(board.with_name(f"{name}.png")) for name in ("dawn", "noon"))
    settings = ClipSettings(aspect_ratio="16:9", resolution="480p")
    moving = changed(job, images=images, settings=settings, allow_outside=True, images_url=sandbox.hosted)

    made = await (await moving.atrigger()).afetch_result()

    assert len(made.request.input.image_urls) == 2
    assert made.request.input.mode == "image-to-video"


def test_async_code_is_sent_to_the_async_door(job: SeedanceClip, sandbox: Sandbox) -> None:
    """A sync method refuses to stop the event loop of code that can await, before anything is begun."""

    @flow
    async def film() -> None:
        job.trigger()

    with pytest.raises(RuntimeError, match=r"await atrigger\(\) instead of calling trigger\(\)"):
        asyncio.run(film())

    assert sandbox.totals()["submits_received"] == 0


def test_sync_task_of_async_flow(job: SeedanceClip) -> None:
    """A sync task, which cannot await, works even where an async flow calls it."""

    @task
    def make() -> str:
        return job.trigger().fetch_result().name

    @flow
    async def film() -> str:
        return make()

    assert asyncio.run(film()) == "a bell rings"


def pieces(text: str) -> list[str]:
    """Return the pieces of Python in a text."""
    return [textwrap.dedent(piece) for piece in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


def execute(code: str, **names: object) -> dict[str, object]:
    """Run a piece of Python, which may await, and return what it defines."""
    compiled = compile(code, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    waiting = eval(compiled, names)  # noqa: S307 -- our own words
    if waiting:
        asyncio.run(waiting)
    return names


def test_examples_work(job: SeedanceClip, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both examples of the block make the stored clip and say where it is."""
    job.save("example", overwrite=True)

    for example in pieces(SeedanceClip.__doc__ or ""):
        execute(example.replace("BLOCK_NAME", "example"))

    said = [line for line in capsys.readouterr().out.splitlines() if line.endswith(".mp4")]
    assert len(said) == 2
    assert all((archive / key).is_file() for key in said)


def test_guide_works(archive: Path, sandbox: Sandbox) -> None:
    """What docs/one-clip.md shows is stored, triggered and taken up again."""
    account(sandbox).save("studio", overwrite=True)
    ClipArchive(url=str(archive)).save("films", overwrite=True)
    store, use, take_up = pieces((ROOT / "docs/one-clip.md").read_text(encoding="utf-8"))

    execute(store)
    changed(SeedanceClip.load("bell"), pace=QUICK).save("bell", overwrite=True)
    key = execute(use)["ring"]()  # type: ignore[operator]  # their flow
    (fingerprint,) = [path.name for path in (archive / "clips").iterdir()]
    execute(take_up.replace("0123456789abcdef0123456789abcdef", fingerprint))

    assert (archive / key).is_file()
    assert sandbox.totals()["submits_received"] == 1


async def test_run_hides_the_key(job: SeedanceClip, sandbox: Sandbox) -> None:
    """Neither block nor run shows the key, and a run does not let itself be stored with it."""
    run = job.run_of("0123")

    @flow
    def take(job: SeedanceClip) -> None:
        """Take a block, as somebody's flow may."""

    stored = take.serialize_parameters({"job": job})
    assert sandbox.key not in f"{job!r} {job.model_dump_json()} {run!r} {run} {stored}"
    with pytest.raises(TypeError, match="pass on its fingerprint"):
        pickle.dumps(run)


def _until(condition: Callable[[], object]) -> None:
    latest = time.monotonic() + _SOON_SECONDS
    while not condition():
        assert time.monotonic() < latest, "it did not come about"
        time.sleep(0.02)
