"""What authors type and have on their machines: read as meant, or refused before anything is spent."""

import json
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from tests.processes import Command, Sandbox

_QUICK = ("--first-poll", "0.2", "--poll-every", "0.2", "--no-report", "--no-film")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with images as browsers, phones and other programs name them."""
    folder = tmp_path / "pics"
    folder.mkdir()
    workflow = PngImagePlugin.PngInfo()
    workflow.add_text("workflow", "x" * 3_000_000, zip=True)
    picture = Image.new("RGB", (1280, 720), "teal")
    picture.save(folder / "1.jfif", "JPEG")
    picture.save(folder / "cafe\u0301.png", pnginfo=workflow)
    (folder / "notes.txt").write_text("sea")
    return folder


def _board(folder: Path, text: str) -> Path:
    path = folder.parent / "board.yaml"
    path.write_text(text, encoding="utf-8")
    return path


_SHOTS = "title: T\ndefaults: {aspect_ratio: 16:9}\nshots:\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            f"{_SHOTS}- {{image: pics/1.jfif, prompt: abc}}\n- image: pics/1.jfif\n  prompt: car #7 wins\n",
            "board.yaml:6: shot 2, prompt: YAML reads '#7 wins' as a comment",
            id="number sign",
        ),
        pytest.param(
            f"{_SHOTS}- image: pics/1.jfif\n  prompt\uff1aslow\n- image: pics/1.jfif\n",
            "board.yaml:5: has '\uff1a' (FULLWIDTH COLON) after 'prompt'",
            id="full-width colon",
        ),
        pytest.param(
            f"{_SHOTS}- image: pics/notes.txt\n  prompt: slow\n- image: pics/1.jfif\n",
            "notes.txt is a text file; name the image itself",
            id="text for an image",
        ),
        pytest.param(
            f"{_SHOTS}- image: pics/1.JFIF\n  prompt: slow\n- image: pics/1.jfif\n",
            "did you mean '1.jfif'? Upper and lower case differ",
            id="case of a name",
        ),
        pytest.param(
            f"{_SHOTS}- image: pics/1.jfif\n  prompt: slow\n  duration: 8 s\n- image: pics/1.jfif\n",
            "board.yaml:6: shot 1, duration: expected a whole number, found the text '8 s'; write 8",
            id="unit",
        ),
    ],
)
def test_mistake_costs_nothing(
    run_cli: Command, sandbox: Sandbox, pictures: Path, archive: Path, text: str, message: str
) -> None:
    """Plan and produce refuse a mistake with the same line, and nothing is sent."""
    board = _board(pictures, text)

    planned = run_cli("plan", board, "--archive", archive, env=sandbox.env)
    made = run_cli("produce", board, "--archive", archive, *_QUICK, env=sandbox.env)

    assert (planned.returncode, made.returncode) == (2, 2)
    assert message in planned.stderr
    assert message in made.stderr
    assert sandbox.totals()["submits_received"] == 0


def test_folder_is_made_whole(run_cli: Command, sandbox: Sandbox, pictures: Path, archive: Path) -> None:
    """A folder's images are found by content, its settings are options, and what is left out is said."""
    words = (pictures, "--prompt", "waves", "--aspect-ratio", "auto", "--resolution", "480p", "--sound")
    hosted = ("--archive", archive, "--images-url", sandbox.hosted)

    planned = run_cli("plan", *words, *hosted, env=sandbox.env)
    made = run_cli("produce", *words, *hosted, *_QUICK, "--json", env=sandbox.env)

    assert "pics: 1 clip of 4 s, 480p, 16:9, with sound" in planned.stdout
    for run in (planned, made):
        assert run.returncode == 0, run.stderr
        assert "warning: Left out of pics, because they are no images: notes.txt (a text file)" in run.stderr
        assert "warning: aspect_ratio: auto is 16:9, after 1 (1280×720)" in run.stderr
    assert [clip["status"] for clip in json.loads(made.stdout)["clips"]] == ["made"]


def test_signed_again_is_bought_once(
    run_cli: Command, sandbox: Sandbox, pictures: Path, archive: Path
) -> None:
    """A pipeline that signs its images' URLs for each run buys a clip once, and no file has a signature."""
    (archive / "images").mkdir(parents=True, exist_ok=True)
    for name in "ab":
        Image.new("RGB", (1280, 720), "navy").save(archive / f"images/{name}.png")
    statuses = []
    for signature in ("aaaa1111", "bbbb2222"):
        query = f"X-Amz-Date=20261127T100000Z&X-Amz-Signature={signature}"
        urls = [f"{sandbox.hosted}/{name}.png?{query}" for name in "ab"]
        board = _board(
            pictures,
            f'{_SHOTS}- {{image: "{urls[0]}", prompt: slow dolly in}}\n- {{image: "{urls[1]}"}}\n',
        )
        made = run_cli("produce", board, "--archive", archive, *_QUICK, "--json", env=sandbox.env)
        assert made.returncode == 0, made.stderr
        statuses += [clip["status"] for clip in json.loads(made.stdout)["clips"]]

    assert statuses == ["made", "reused"]
    assert sandbox.totals()["accepted"] == 1
    stored = [path for path in archive.rglob("*") if path.is_file()]
    assert [path for path in stored if b"X-Amz-Signature" in path.read_bytes()] == []


def test_output_decides_nothing(run_cli: Command, sandbox: Sandbox, pictures: Path, archive: Path) -> None:
    """A terminal without the characters, and a reader that leaves, change no exit code."""
    board = _board(pictures, "title: Été 灯\nclips:\n- prompt: dusk → dawn 🌊\n")
    env = {**sandbox.env, "PYTHONIOENCODING": "ascii"}

    made = run_cli("produce", board, "--archive", archive, *_QUICK, env=env)
    listed = run_cli("ledger", archive, env=env)

    assert (made.returncode, listed.returncode) == (0, 0), made.stderr + listed.stderr
    assert "dusk -> dawn ?" in made.stdout
    assert "dusk -> dawn ?" in listed.stdout


@pytest.mark.parametrize(
    ("settings", "code", "variable"),
    [
        pytest.param({"ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}, 0, "", id="exempt"),
        pytest.param({"ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": ""}, 2, "ALL_PROXY", id="SOCKS"),
        pytest.param({"HTTP_PROXY": "http://proxy:port", "NO_PROXY": ""}, 2, "HTTP_PROXY", id="malformed"),
        pytest.param(
            {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "[::1],*.local,10.0.0.0/8 127.0.0.0/8"},
            0,
            "",
            id="odd exemptions",
        ),
    ],
)
def test_proxy_is_checked_first(
    run_cli: Command,
    sandbox: Sandbox,
    pictures: Path,
    archive: Path,
    settings: dict[str, str],
    code: int,
    variable: str,
) -> None:
    """A proxy works or is refused by its variable's name, by plan as by produce."""
    board = _board(pictures, "title: T\nclips:\n- prompt: waves break\n")
    env = {**sandbox.env, **settings}

    planned = run_cli("plan", board, "--archive", archive, env=env)
    made = run_cli("produce", board, "--archive", archive, *_QUICK, env=env)

    assert (planned.returncode, made.returncode) == (code, code), made.stderr
    assert variable in planned.stderr
    assert variable in made.stderr
    assert sandbox.totals()["accepted"] == (code == 0)
