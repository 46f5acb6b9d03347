"""Hostile servers on loopback, and one process that runs all commands against them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import films
from tests.hostile.wire import SECRET, SIGNATURE, Forbidden, Reply, Web, read_request, serving
from tests.processes import contents_of, environment, running

DEADLINE_SECONDS = 12
_GRACE_SECONDS = 5
_MAX_PEAK_BYTES = 400_000_000

Ask = Callable[..., "Ended"]


@dataclass(frozen=True)
class Ended:
    """The end of a command."""

    code: int
    out: str
    err: str
    seconds: float
    peak_bytes: int

    @property
    def text(self) -> str:
        return self.out + self.err


@pytest.fixture(scope="session")
def web() -> Iterator[Web]:
    """Run the hostile API, file host and image host."""
    web = Web()
    with serving(lambda connection: web.reply(*read_request(connection))(connection)) as web.port:
        yield web


@pytest.fixture(scope="session")
def forbidden() -> Iterator[Forbidden]:
    """Run the server that no run may read from."""
    forbidden = Forbidden()
    with serving(forbidden.handle, host="0.0.0.0") as forbidden.port:  # noqa: S104 -- it must be reachable
        yield forbidden


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Return a function that runs a command in a process that all tests share."""
    home = tmp_path_factory.mktemp("hostile")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    program = (sys.executable, "-m", "tests.hostile.process")
    root = Path(__file__).parents[2]
    with running(*program, env=environment(home, PYTHONPATH=str(root)), cwd=root, **pipes) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin
        assert stdout

        def ask(*words: object, **env: str) -> Ended:
            stdin.write(json.dumps({"words": list(map(str, words)), "env": env}) + "\n")
            stdin.flush()
            return Ended(**json.loads(stdout.readline()))

        yield ask
        stdin.close()  # ends the process
        process.wait(10)


@pytest.fixture(scope="session")
def video() -> bytes:
    """Return a valid video."""
    return films.clip(1)


@dataclass(frozen=True)
class Run:
    """A run against hostile cases, and what it left."""

    ended: Ended
    archive: Path

    @property
    def clips(self) -> Mapping[str, Mapping[str, Any]]:
        """The clips of the manifest by case."""
        return {clip["name"]: clip for clip in json.loads(self.ended.out)["clips"]}

    def stored(self) -> Mapping[str, bytes]:
        """Return every file of the archive."""
        return contents_of(self.archive)


Produce = Callable[..., Run]


@pytest.fixture(scope="session")
def produce(
    web: Web, forbidden: Forbidden, command: Ask, tmp_path_factory: pytest.TempPathFactory
) -> Produce:
    """Return a function that produces a clip for each case, and checks what holds for all of them."""

    def run(
        cases: Mapping[str, Mapping[str, Reply]],
        *,
        images: Sequence[str] = (),
        board: str = "",
        base_url: str = "",
        are_videos: bool = False,
    ) -> Run:
        web.cases.update(cases)
        folder = tmp_path_factory.mktemp("case")
        clips = [{"name": case, "prompt": case, "images": images} for case in cases]
        path, archive = folder / "board.json", folder / "archive"
        path.write_text(json.dumps({"title": "Waves", "clips": clips}), encoding="utf-8")
        callers = len(forbidden.callers)
        ended = command(
            *("produce", board or path, "--archive", archive, "--json", "--no-film"),
            *("--deadline", DEADLINE_SECONDS, "--timeout", 5, "--first-poll", 0.1, "--poll-every", 0.2),
            *("--settling", 0.5, "--base-url", base_url or web.base_url),
            SEEDANCE_API_KEY=f"key-of-{'-'.join(cases)}",  # an account without the refusals of other runs
        )
        found = Run(ended, archive)
        _check(found, are_videos=are_videos)
        assert len(forbidden.callers) == callers
        return found

    return run


def _check(run: Run, *, are_videos: bool) -> None:
    """Check what holds for every case: time, memory, printable lines, and nothing foreign anywhere.

    Only a file that begins like a video is kept beside the clips, for a person to look at.
    """
    ended = run.ended
    assert ended.seconds < DEADLINE_SECONDS + _GRACE_SECONDS
    assert ended.peak_bytes < _MAX_PEAK_BYTES
    assert all(line.isprintable() for line in ended.text.splitlines()), ended.text
    assert SECRET.decode() not in ended.text
    assert SIGNATURE not in ended.text
    assert "Traceback" not in ended.text
    for name, content in run.stored().items():
        assert SECRET not in content, name
        assert SIGNATURE.encode() not in content or name.endswith("/outcome.json"), name
        assert are_videos or "refused" not in name
