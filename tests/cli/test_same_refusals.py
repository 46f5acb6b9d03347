"""What a run refuses, a forecast refuses too, with the same words."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from tests.processes import Sandbox

_QUICK = ("--first-poll", "0.1", "--poll-every", "0.1", "--no-film", "--no-report")


@dataclass
class Setup:
    """What a person types, and their environment."""

    board: Path
    archive: str
    images_url: str
    variables: dict[str, str]
    more: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """The command line without the command."""
        images = ("--images-url", self.images_url) if self.images_url else ()
        return [str(self.board), "--archive", self.archive, *images, *_QUICK, *self.more]


Fault = Callable[[Setup], object]


def _title_of_another(setup: Setup) -> None:
    folder = Path(setup.archive) / "productions/test-board"
    folder.mkdir(parents=True)
    (folder / "storyboard.json").write_text(json.dumps({"title": "Test board!"}), encoding="utf-8")


def _file_as_archive(setup: Setup) -> None:
    setup.archive = str(setup.board)


def _no_room(setup: Setup) -> None:
    setup.archive = "/proc/films"


def _proxy(setup: Setup) -> None:
    names = ("http_proxy", "HTTP_PROXY")
    setup.variables.update({**dict.fromkeys(names, "ftp://proxy.example"), "no_proxy": "", "NO_PROXY": ""})


def _variable(name: str, value: str) -> Fault:
    return lambda setup: setup.variables.update({name: value})


def _words(*words: str) -> Fault:
    return lambda setup: setup.more.extend(words)


def _images(url: str) -> Fault:
    return lambda setup: setattr(setup, "images_url", url)


def _archive(url: str) -> Fault:
    return lambda setup: setattr(setup, "archive", url)


_REFUSED = [
    pytest.param(_variable("SEEDANCE_API_KEY", "key-of-nobody"), id="wrong key"),
    pytest.param(_variable("SEEDANCE_API_KEY", "two words"), id="no key at all"),
    pytest.param(_variable("SEEDANCE_BASE_URL", "http://studio.example"), id="base URL without TLS"),
    pytest.param(_words("--base-url", "studio"), id="base URL without scheme"),
    pytest.param(_variable("SEEDANCE_MODELS", "nowhere.yaml"), id="models file"),
    pytest.param(_proxy, id="proxy"),
    pytest.param(_words("--callback-url", "https://hooks.example"), id="callback without secret"),
    pytest.param(_words("--max-seconds", "4"), id="budget"),
    pytest.param(_images("ftp://studio.example/images"), id="images URL of another kind"),
    pytest.param(_images("http://127.0.0.1:9/images"), id="images URL without server"),
    pytest.param(_archive("s4://films"), id="archive of another kind"),
    pytest.param(_file_as_archive, id="archive is a file"),
    pytest.param(_no_room, id="archive cannot be written"),
    pytest.param(_title_of_another, id="folder of another title"),
    pytest.param(lambda _: setattr(tempfile, "tempdir", "/nowhere/at/all"), id="temporary folder is missing"),
]
_ANNOUNCED = [
    pytest.param(_variable("SEEDANCE_API_KEY", ""), id="no key yet"),
    pytest.param(_images(""), id="images without a home"),
]


@pytest.fixture
def setup(
    board: Path, archive: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Setup:
    """Return a set-up without faults, in a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    variables = {**sandbox.env, "PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": ""}
    return Setup(board=board, archive=str(archive), images_url=sandbox.hosted, variables=variables)


@pytest.fixture
def say(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[int, str]]:
    """Return a function that runs a command, and returns its exit code and all that it prints."""

    def run(command: str) -> tuple[int, str]:
        with monkeypatch.context() as environment:
            for name, value in setup.variables.items():
                environment.setenv(name, value)
            code = main([command, *setup.words])
        return code, " ".join("".join(capsys.readouterr()).split())

    return run


def _messages(printed: str) -> list[str]:
    return [each.strip() for each in printed.split("prefect-seedance: ") if each.strip()]


@pytest.mark.parametrize("fault", _REFUSED)
def test_plan_refuses_what_produce_refuses(
    fault: Fault, setup: Setup, say: Callable[[str], tuple[int, str]], sandbox: Sandbox
) -> None:
    """Both end with exit code 2 and the same message, and plan writes nothing."""
    fault(setup)
    before = sorted(Path(setup.archive).rglob("*"))

    planned, forecast = say("plan")
    after = sorted(Path(setup.archive).rglob("*"))
    produced, refusal = say("produce")

    assert (planned, produced) == (2, 2), forecast + refusal
    assert all(message in forecast for message in _messages(refusal)), (forecast, refusal)
    assert after == before
    assert sandbox.totals()["submits_received"] == 0


def test_plan_leaves_no_folder(setup: Setup, say: Callable[[str], tuple[int, str]]) -> None:
    """An archive that is planned for, deep in folders that do not exist, is not created."""
    setup.archive = str(Path(setup.archive) / "deep/films")

    planned, _ = say("plan")

    assert planned == 0
    assert not Path(setup.archive).parent.exists()


@pytest.mark.parametrize("fault", _ANNOUNCED)
def test_plan_announces_refusal(fault: Fault, setup: Setup, say: Callable[[str], tuple[int, str]]) -> None:
    """What is usually missing while a storyboard is written is only announced, in the words of produce."""
    fault(setup)

    planned, forecast = say("plan")
    produced, refusal = say("produce")

    assert (planned, produced) == (0, 2)
    assert all(f"warning: produce will refuse this: {message}" in forecast for message in _messages(refusal))


def test_faultless_setup_passes(say: Callable[[str], tuple[int, str]]) -> None:
    """Without a fault, both succeed, with the same options."""
    planned, forecast = say("plan")
    produced, _ = say("produce")

    assert (planned, produced) == (0, 0)
    assert "2 made. 8 s of video would be billed" in forecast
