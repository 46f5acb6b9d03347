"""The code of the documentation and the examples, executed against the sandbox."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.conftest import eventually
from tests.pages import ROOT, blocks, name_of, pages_with
from tests.processes import BIN, S3, Sandbox, environment, prefect_client, running

_SECONDS = 180.0
"""A script takes 3 to 10 s, and longer on a busy machine."""

_QUICK = "first_poll_seconds=0.2, poll_every_seconds=0.2, "
_QUICK_OPTIONS = "--first-poll 0.2 --poll-every 0.2"

_WITH_COMMANDS = ("README.md", "docs/tutorial.md", "docs/how-to/cost.md", "docs/how-to/films.md")
"""Pages whose commands are executed in order. The commands of other pages need a person, a server that runs
on, or a bucket with a policy, which has its own test."""

_EXECUTED = re.compile(r"prefect-seedance +(plan|produce|film|report|open|export|ledger|rescue)\b")
_SERVED = re.compile(r"prefect-seedance +serve-images\b")

_BLOCKS = """
from prefect_seedance import ClipArchive, SeedanceCredentials
SeedanceCredentials.from_env().save("studio", overwrite=True)
ClipArchive.from_env().save("films", overwrite=True)
"""
"""Stores the blocks that readers of the pages have."""

_CHECKS = {
    "docs/how-to/callbacks.md": """
from starlette.testclient import TestClient
with TestClient(app) as client:
    assert client.get("/seedance/health").status_code == 200
""",
}
"""What to do with the code of a page that by itself only defines something."""


@pytest.fixture
def bucket(s3: S3) -> Iterator[str]:
    """Create an empty bucket."""
    name = s3.bucket()
    yield name
    s3.remove(name)


@pytest.fixture
def env(sandbox: Sandbox, s3: S3, archive: Path, prefect_server: str, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a reader with an account, a bucket, an archive and a Prefect server."""
    return environment(
        tmp_path / "prefect",
        **sandbox.env,
        **s3.env,
        SEEDANCE_ARCHIVE=str(archive),
        SEEDANCE_CALLBACK_SECRET="a-secret-of-at-least-thirty-two-characters",
        PREFECT_API_URL=prefect_server,
        PATH=f"{BIN}:{os.environ['PATH']}",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the storyboard of the pages and its images."""
    folder = shutil.copytree(ROOT / "examples/lighthouse", tmp_path / "reader")
    (board,) = (
        block.text for block in blocks(ROOT / "docs/tutorial.md", "yaml") if "Lighthouse" in block.text
    )
    (folder / "storyboard.yaml").write_text(board, encoding="utf-8")
    return folder


@pytest.fixture
def execute(env: dict[str, str], folder: Path) -> Callable[..., str]:
    """Return a function that runs a command to its end in the reader's folder, and returns its output."""

    def run(*command: object, **more: str) -> str:
        ran = subprocess.run(
            list(map(str, command)),
            cwd=folder,
            env={**env, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout
        return ran.stdout

    return run


@pytest.fixture
def start_server(env: dict[str, str], folder: Path) -> Iterator[Callable[[str], str]]:
    """Return a function that runs a command that serves images, if a page has one, and returns their URL."""
    with contextlib.ExitStack() as stack:

        def start(command: str) -> str:
            if not command:
                return ""
            words = ("bash", "-euc", f"exec {command} --port 0")
            server = stack.enter_context(running(*words, env=env, cwd=folder, stdout=subprocess.PIPE))
            assert server.stdout
            option = [server.stdout.readline() for _ in range(3)][-1]
            return option.split()[1]

        yield start


def quick(code: str) -> str:
    """Let a script poll at once: by default it first polls after 40 s, as the real API is never faster."""
    options = f"prefect_seedance.Waiting({_QUICK})"
    code = re.sub(r"\b(Waiting|SeedanceClip(?:\.from_env)?)\((?=\S)", rf"\1({_QUICK}", code)
    code = re.sub(r"\b(SeedanceClip(?:\.from_env)?)\(\n", rf"\1({_QUICK}\n", code)
    return re.sub(r'(archive="films")\)', rf"\1, waiting={options})", f"import prefect_seedance\n{code}")


@pytest.mark.parametrize("page", pages_with("python"), ids=name_of)
def test_python_runs(
    page: Path, execute: Callable[..., str], folder: Path, bucket: str, sandbox: Sandbox
) -> None:
    """The Python code of each page runs from its first block to its last, and buys nothing twice."""
    found = blocks(page, "python")
    script = "\n\n".join(block.text for block in found if not block.title)
    for block in found:
        if block.title:
            (folder / block.title).write_text(block.text, encoding="utf-8")

    if script:
        script = quick(script).replace("s3://bucket", f"s3://{bucket}").replace("BUCKET", bucket)
        stored = _BLOCKS if ".load(" in script else ""
        execute(sys.executable, "-c", stored + script + _CHECKS.get(name_of(page), ""))
    if any(folder.glob("test_*.py")):
        assert " passed" in execute(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder)

    assert sandbox.totals()["duplicates"] == 0


@pytest.mark.parametrize("page", _WITH_COMMANDS)
def test_commands_run(
    page: str,
    execute: Callable[..., str],
    start_server: Callable[[str], str],
    folder: Path,
    archive: Path,
    bucket: str,
    sandbox: Sandbox,
) -> None:
    """The commands of a page, with its files, run in order, and buy each clip once."""
    shutil.copytree(folder / "images", archive / "images", dirs_exist_ok=True)  # the images on the web
    for block in blocks(ROOT / page, "yaml"):
        if block.title:
            text = block.text.replace("https://example.com/images/", sandbox.hosted)
            (folder / block.title).write_text(text, encoding="utf-8")
    lines = [line for block in blocks(ROOT / page, "bash") for line in block.text.splitlines()]
    commands = [line for line in lines if _EXECUTED.match(line)]
    assert commands

    images_url = start_server(next(filter(_SERVED.match, lines), ""))
    for each in commands:
        line = each.replace("http://127.0.0.1:8766/images", images_url)
        command = re.sub(r"^(prefect-seedance +produce)\b", rf"\1 {_QUICK_OPTIONS}", line)
        command = re.sub(r"ARCHIVE|s3://(bucket|BUCKET)/films", f"s3://{bucket}/films", command)
        execute("bash", "-euc", command, PREFECT_API_URL="")

    assert sandbox.totals()["duplicates"] == 0


def example(name: str, folder: Path) -> Path:
    """Copy an example that polls at once."""
    script = folder / name
    script.write_text(quick((ROOT / "examples" / name).read_text(encoding="utf-8")), encoding="utf-8")
    return script


@pytest.mark.parametrize(
    ("name", "clips"), [("own_flow.py", 2), ("plain_asyncio.py", 1), ("job_block.py", 1)]
)
def test_example_runs(
    name: str, clips: int, execute: Callable[..., str], folder: Path, archive: Path, sandbox: Sandbox
) -> None:
    """An example makes its clips, prints where they are, and buys nothing when it runs again."""
    script = example(name, folder)

    twice = f"import runpy\nfor _ in range(2):\n    runpy.run_path({str(script)!r}, run_name='__main__')"
    output = execute(sys.executable, "-c", twice)

    keys = {path.relative_to(archive).as_posix() for path in archive.glob("clips/*/clip-*.mp4")}
    assert len(keys) == clips
    assert all(output.count(key) >= 2 for key in keys)
    assert sandbox.totals()["accepted"] == clips


def test_plain_example_needs_no_prefect(execute: Callable[..., str], folder: Path) -> None:
    """The example in plain asyncio does not import Prefect."""
    example("plain_asyncio.py", folder)

    loaded = execute(sys.executable, "-c", "import plain_asyncio, sys; print('prefect' in sys.modules)")

    assert loaded == "False\n"


def test_scheduled_example_serves(
    env: dict[str, str], folder: Path, sandbox: Sandbox, prefect_server: str, archive: Path
) -> None:
    """The example serves a deployment with a schedule, and a run of it makes the clips of the storyboard."""
    shutil.copytree(folder / "images", archive / "images", dirs_exist_ok=True)
    board = folder / "storyboard.yaml"
    text = (
        board.read_text(encoding="utf-8").replace("fit: crop", "fit: none").replace("images/", sandbox.hosted)
    )
    board.write_text(text, encoding="utf-8")
    script = example("scheduled.py", folder)

    with (
        prefect_client(prefect_server) as api,
        running(
            sys.executable, script, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        ),
    ):

        def deployed() -> dict[str, object]:
            response = api.get("/deployments/name/nightly/nightly")
            return dict(response.json()) if response.is_success else {}

        def state_of(run: object) -> str:
            state = api.get(f"/flow_runs/{run}").raise_for_status().json()["state_name"]
            return str(state) if state in {"Completed", "Failed", "Crashed", "InFlight"} else ""

        deployment = eventually(deployed, seconds=_SECONDS)
        assert deployment["schedules"][0]["schedule"]["cron"] == "0 2 * * *"  # type: ignore[index]  # JSON
        run = api.post(f"/deployments/{deployment['id']}/create_flow_run", json={}).raise_for_status().json()
        state = eventually(lambda: state_of(run["id"]), seconds=_SECONDS)

    assert state == "Completed"
    assert sandbox.totals()["accepted"] == 2
