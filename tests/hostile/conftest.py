"""Hostile servers on loopback, and one process that runs all commands against them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import films
from tests.hostile.wire import SECRET, SIGNATURE, Forbidden, Reply, Web, answer, read_request, serving
from tests.processes import environment, running

DEADLINE_SECONDS = 6
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
    with serving(lambda connection: web.reply(read_request(connection))(connection)) as web.port:
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
    """A run against one hostile case, and what it left."""

    ended: Ended
    archive: Path

    @property
    def clip(self) -> Mapping[str, object]:
        """The clip's entry in the manifest."""
        (clip,) = json.loads(self.ended.out)["clips"]
        return dict(clip)

    def stored(self) -> Iterator[tuple[str, bytes]]:
        """Yield every file of the archive."""
        for path in self.archive.rglob("*"):
            if path.is_file():
                yield path.relative_to(self.archive).as_posix(), path.read_bytes()


Produce = Callable[..., Run]


@pytest.fixture
def produce(web: Web, forbidden: Forbidden, command: Ask, tmp_path: Path) -> Produce:
    """Return a function that produces one clip against a case, and checks what holds for all cases."""

    def run(
        case: str,
        replies: Mapping[str, Reply],
        *,
        images: tuple[str, ...] = (),
        board: str = "",
        base_url: str = "",
    ) -> Run:
        web.cases[case] = {"submit": answer(taskId="task_1"), **replies}
        path, archive = tmp_path / "board.json", tmp_path / "archive"
        clip = {"prompt": "waves", "images": images}
        path.write_text(json.dumps({"title": "Waves", "clips": [clip]}), encoding="utf-8")
        callers = len(forbidden.callers)
        ended = command(
            *("produce", board or path, "--archive", archive, "--json", "--no-film"),
            *("--deadline", DEADLINE_SECONDS, "--timeout", 2, "--first-poll", 0.1, "--poll-every", 0.2),
            *("--settling", 0.5, "--base-url", base_url or web.url(case)),
            SEEDANCE_API_KEY=f"key-of-{case}",  # an account of its own, without the refusals of other cases
        )
        found = Run(ended, archive)
        _check(found)
        assert len(forbidden.callers) == callers
        return found

    return run


def _check(run: Run) -> None:
    """Check what holds for every case: time, memory, printable lines, and nothing foreign anywhere."""
    ended = run.ended
    assert ended.seconds < DEADLINE_SECONDS + _GRACE_SECONDS
    assert ended.peak_bytes < _MAX_PEAK_BYTES
    assert all(line.isprintable() for line in ended.text.splitlines()), ended.text
    assert SECRET.decode() not in ended.text
    assert SIGNATURE not in ended.text
    assert "Traceback" not in ended.text
    for name, content in run.stored():
        assert SECRET not in content, name
        assert SIGNATURE.encode() not in content or name.endswith("/outcome.json"), name
        assert "refused" not in name
