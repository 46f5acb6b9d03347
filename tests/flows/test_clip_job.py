"""The clip job block in sync and async code."""

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
from PIL import Image
from prefect import flow, task
from prefect.runtime import flow_run

from prefect_seedance import Clip, ClipArchive, ClipSettings, SeedanceClip
from prefect_seedance.errors import (
    ContentRejectedError,
    DeadlineError,
    SetupError,
    StoryboardError,
    SubmissionUnresolvedError,
)
from prefect_seedance.storyboard.schema import References
from tests.flows.conftest import Api, account, completed, eventually
from tests.processes import Sandbox, environment, forking

QUICK = {"first_poll_seconds": 0.3, "poll_every_seconds": 0.2}
_WAIT_SECONDS = 60.0


@pytest.fixture
def job(sandbox: Sandbox, archive: Path) -> SeedanceClip:
    """Return a text-to-video clip with the sandbox's account."""
    return SeedanceClip(
        prompt="a bell rings",
        credentials=account(sandbox),
        archive=str(archive),
        deadline_seconds=60,
        first_poll_seconds=0.3,
        poll_every_seconds=0.2,
    )


def changed(job: SeedanceClip, **fields: object) -> SeedanceClip:
    """Return a copy of a block with other fields."""
    return job.model_copy(update=fields)


def test_sync_flow_uses_stored_block(job: SeedanceClip, archive: Path, sandbox: Sandbox, api: Api) -> None:
    """A sync flow loads the block by name and gets its clip with one task run for each step."""
    changed(job, archive=ClipArchive(url=str(archive))).save("stored-bell", overwrite=True)

    @flow
    def film() -> tuple[str, Clip]:
        """Do the same as the block's example."""
        bell = SeedanceClip.load("stored-bell")
        assert isinstance(bell, SeedanceClip)
        run = bell.trigger()
        run.wait_for_completion()
        return flow_run.id, run.fetch_result()

    run_id, made = film()

    assert (archive / made.key).stat().st_size == made.size_bytes
    names = {run["name"] for run in eventually(lambda: completed(api, run_id, count=3))}
    assert names == {"submit stored-bell", "wait for stored-bell", "archive stored-bell"}
    assert sandbox.totals()["accepted"] == 1


async def test_repeated_trigger_buys_once(job: SeedanceClip, sandbox: Sandbox) -> None:
    """Repeated triggers, concurrent or later, give one clip, which is paid once."""

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
    """Another take is another clip and is bought separately."""
    again = changed(job, take=2)

    first, second = await job.atrigger(), await again.atrigger()

    assert first.fingerprint != second.fingerprint
    assert sandbox.totals()["accepted"] == 2


async def test_references_are_sent(job: SeedanceClip, sandbox: Sandbox, tmp_path: Path) -> None:
    """A stored block keeps the files that its prompt refers to, and the API gets their URLs."""
    look = tmp_path / "look.png"
    Image.new("RGB", (640, 360), "orange").save(look)
    like = changed(
        job,
        prompt="a bell like @Image1",
        model="seedance-2-0",
        references=References(images=(str(look),)),
        images_url=sandbox.hosted,
        allow_outside=True,
    )
    await like.asave("like-the-look", overwrite=True)

    stored: SeedanceClip = await SeedanceClip.aload("like-the-look")
    await stored.atrigger()

    (sent,) = [each["input"] for each in sandbox.books()["generations"]]
    assert sent["mode"] == "omni_reference"
    assert [url.rpartition(".")[2] for url in sent["image_urls"]] == ["png"]


async def test_run_is_found_by_fingerprint(job: SeedanceClip, sandbox: Sandbox) -> None:
    """A run can be found by fingerprint, archive and account, without the prompt."""
    fingerprint = (await job.atrigger()).fingerprint
    other = changed(job, prompt="something else")

    made = await other.run_of(fingerprint).afetch_result()

    assert made.request.input.prompt == "a bell rings"
    assert sandbox.totals()["submits_received"] == 1


async def test_unknown_fingerprint_is_refused(job: SeedanceClip, archive: Path) -> None:
    """An unknown fingerprint raises an error that names the archive."""
    with pytest.raises(SetupError, match=f"The ledger of {archive} has no clip 0123"):
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
    """Return a function that starts a process which triggers the stored block."""
    job.save("killed-bell", overwrite=True)
    env = environment(tmp_path / "prefect", PREFECT_API_URL=prefect_server)

    def started(program: str = _SCRIPT) -> object:
        (tmp_path / "theirs.py").write_text(program, encoding="utf-8")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        return forking(sys.executable, tmp_path / "theirs.py", env=env, **pipes)

    return started


def test_killed_run_is_continued(start: Callable[..., object], job: SeedanceClip, sandbox: Sandbox) -> None:
    """The next trigger continues the run of a process killed while waiting."""
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
    """A submission killed before its response is never repeated; the error names the next step."""
    hasty = changed(job, timeout_seconds=1)
    await hasty.asave("killed-bell", overwrite=True)
    sandbox.faults({"kind": "submit", "fault": "accept-then-hang"})
    with start() as process:  # type: ignore[attr-defined]  # a context manager
        await asyncio.to_thread(_until, lambda: sandbox.totals()["accepted"] == 1)
        os.killpg(process.pid, signal.SIGKILL)
    (fingerprint,) = [path.name for path in (archive / "clips").iterdir()]

    for call in (hasty.atrigger, hasty.run_of(fingerprint).afetch_result):
        with pytest.raises(SubmissionUnresolvedError, match=f"resolve-submissions with archive={archive} ad"):
            await call()

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
def test_stopped_submission_is_recorded(
    start: Callable[..., object],
    sandbox: Sandbox,
    archive: Path,
    kind: str,
    number: signal.Signals,
    clips: int,
) -> None:
    """A process stopped during submissions records their responses before it exits."""
    sandbox.faults({"kind": "submit", "fault": "slow", "seconds": 1.0})
    with start(_FLOWS[kind]) as process:  # type: ignore[attr-defined]  # a context manager
        _until(lambda: sandbox.totals()["submits_received"] == clips)
        process.send_signal(number)
        process.wait(30)

    assert sandbox.totals()["accepted"] == clips
    assert len(list(archive.glob("clips/*/*/accepted.json"))) == clips


async def test_deadline_is_not_the_end(job: SeedanceClip, sandbox: Sandbox) -> None:
    """The deadline error reports that the generation continues, and a later call can wait again."""
    sandbox.faults({"kind": "generation", "fault": "take-longer", "factor": 30})
    run = await job.atrigger()
    hurried = changed(job, deadline_seconds=0.5).run_of(run.fingerprint)

    with pytest.raises(DeadlineError, match=r"a bell rings is still in flight.*paid for once"):
        await hurried.await_for_completion()

    assert (await run.afetch_result()).name == "a bell rings"
    assert sandbox.totals()["submits_received"] == 1


async def test_rejected_clip_raises(job: SeedanceClip, sandbox: Sandbox) -> None:
    """A rejected clip raises in every call, and is bought again only with permission."""
    sandbox.faults({"kind": "generation", "fault": "fail", "code": "CONTENT_VIOLATION"})
    run = await job.atrigger()

    for call in (run.await_for_completion, run.afetch_result, job.atrigger):
        with pytest.raises(ContentRejectedError, match="CONTENT_VIOLATION"):
            await call()
    assert sandbox.totals()["submits_received"] == 1

    sandbox.faults()
    allowed = await changed(job, retry_rejected=True).atrigger()
    assert (await allowed.afetch_result()).attempt == 2


async def test_invalid_setup_costs_nothing(job: SeedanceClip, sandbox: Sandbox, board: Path) -> None:
    """An invalid setup is refused before anything is sent."""
    image = str(board.with_name("dawn.png"))

    with pytest.raises(SetupError, match="no Clip Archive block named 'nowhere'"):
        await changed(job, archive="block:nowhere").atrigger()
    with pytest.raises(StoryboardError, match="absolute path with allow_outside=true"):
        await changed(job, images=(image,)).atrigger()
    with pytest.raises(SetupError, match=r"dawn\.png is a local image"):
        await changed(job, images=(image,), allow_outside=True).atrigger()
    with pytest.raises(StoryboardError, match="5 is not offered"):
        await changed(job, settings=ClipSettings(duration=5)).atrigger()

    assert sandbox.totals()["submits_received"] == 0


async def test_images_are_hosted(job: SeedanceClip, sandbox: Sandbox, board: Path) -> None:
    """Local images, by absolute path, become the start and end of a clip."""
    images = tuple(str(board.with_name(f"{name}.png")) for name in ("dawn", "noon"))
    settings = ClipSettings(aspect_ratio="16:9", resolution="480p")
    moving = changed(job, images=images, settings=settings, allow_outside=True, images_url=sandbox.hosted)

    made = await (await moving.atrigger()).afetch_result()

    assert len(made.request.input.image_urls) == 2
    assert made.request.input.mode == "image-to-video"


def test_sync_call_in_async_code_refused(job: SeedanceClip, sandbox: Sandbox) -> None:
    """A sync method in async code raises an error before anything starts."""

    @flow
    async def film() -> None:
        job.trigger()

    with pytest.raises(RuntimeError, match=r"await atrigger\(\) instead of calling trigger\(\)"):
        asyncio.run(film())

    assert sandbox.totals()["submits_received"] == 0


def test_sync_task_of_async_flow(job: SeedanceClip) -> None:
    """A sync task in an async flow can call the sync method."""

    @task
    def make() -> str:
        return job.trigger().fetch_result().name

    @flow
    async def film() -> str:
        return make()

    assert asyncio.run(film()) == "a bell rings"


def pieces(text: str) -> list[str]:
    """Return the Python code blocks in a text."""
    return [textwrap.dedent(piece) for piece in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


def execute(code: str, **names: object) -> dict[str, object]:
    """Run Python code, which may use await, and return its names."""
    compiled = compile(code, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    waiting = eval(compiled, names)  # noqa: S307 -- our own examples
    if waiting:
        asyncio.run(waiting)
    return names


def test_examples_work(job: SeedanceClip, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both examples of the block make the stored clip and print its key."""
    job.save("example", overwrite=True)

    for example in pieces(SeedanceClip.__doc__ or ""):
        execute(example.replace("BLOCK_NAME", "example"))

    keys = [line for line in capsys.readouterr().out.splitlines() if line.endswith(".mp4")]
    assert len(keys) == 2
    assert all((archive / key).is_file() for key in keys)


async def test_run_hides_the_key(job: SeedanceClip, sandbox: Sandbox) -> None:
    """Neither block nor run shows the key, and a run cannot be pickled."""
    run = job.run_of("0123")

    @flow
    def take(job: SeedanceClip) -> None:
        """Take a block as parameter."""

    stored = take.serialize_parameters({"job": job})
    assert sandbox.key not in f"{job!r} {job.model_dump_json()} {run!r} {run} {stored}"
    with pytest.raises(TypeError, match="pass its fingerprint on"):
        pickle.dumps(run)


def _until(condition: Callable[[], object]) -> None:
    latest = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < latest, "the condition did not become true in time"
        time.sleep(0.02)
