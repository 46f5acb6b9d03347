"""Videos and audio files that clips refer to, from a folder or a bucket to the API."""

import contextlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests import films
from tests.processes import S3, Command, Sandbox
from tests.sounds import sound

NEW = "seedance-2-0"
_QUICK = ("--first-poll", "0.2", "--poll-every", "0.2", "--no-report", "--json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a list of clips and its references."""
    folder = tmp_path / "boards"
    folder.mkdir()
    Image.new("RGB", (640, 360), "orange").save(folder / "look.png")
    (folder / "pan.mp4").write_bytes(films.clip(1, frames=60))
    (folder / "waves.mp3").write_bytes(sound(3))
    references = {"images": ["look.png"], "videos": ["pan.mp4"], "audios": ["waves.mp3"]}
    clips = [
        {"prompt": "waves like @Image1, filmed as @Video1, with the sound of @Audio1"},
        {"prompt": "the same sea at night", "references": {"videos": ["pan.mp4"]}},
    ]
    board = {"defaults": {"model": NEW, "resolution": "480p", "references": references}, "clips": clips}
    (folder / "board.json").write_text(json.dumps(board))
    return folder


def test_folder_hosts_media(run_cli: Command, sandbox: Sandbox, archive: Path, folder: Path) -> None:
    """Local files are hosted once by content, the API accepts them, and nothing is bought again."""
    command = ("produce", folder / "board.json", "--archive", archive, "--images-url", sandbox.hosted)

    made = run_cli(*command, *_QUICK, env=sandbox.env)
    (folder / "pan.mp4").rename(folder / "other.bin")
    text = (folder / "board.json").read_text().replace("pan.mp4", "other.bin")
    (folder / "board.json").write_text(text)
    again = run_cli(*command, *_QUICK, env=sandbox.env)

    assert made.returncode == 0, made.stderr
    assert [clip["status"] for clip in json.loads(again.stdout)["clips"]] == ["reused", "reused"]
    hosted = sorted(path.suffix for path in (archive / "images").iterdir())
    assert hosted == [".mp3", ".mp4", ".png"]
    sent = [each["input"] for each in sandbox.books()["generations"]]
    assert len(sent) == 2
    assert {each["mode"] for each in sent} == {"omni_reference"}
    for field, suffix in {"image_urls": ".png", "video_urls": ".mp4", "audio_urls": ".mp3"}.items():
        urls = [url for each in sent for url in each[field]]
        assert urls
        assert all(url.startswith(sandbox.hosted) and url.endswith(suffix) for url in urls)


def test_bucket_hosts_media(run_cli: Command, sandbox: Sandbox, s3: S3, folder: Path) -> None:
    """A storyboard's files in a bucket are checked there, and the API gets signed URLs."""
    bucket, env = s3.bucket(), {**sandbox.env, **s3.env}
    with contextlib.closing(s3.client()) as client:
        for path in folder.iterdir():
            client.upload_file(str(path), bucket, f"boards/{path.name}")
    archive = f"s3://{bucket}/films"

    made = run_cli("produce", f"s3://{bucket}/boards/board.json", "--archive", archive, *_QUICK, env=env)
    local = run_cli("plan", folder / "board.json", "--archive", archive, "--json", env=env)

    assert made.returncode == 0, made.stderr
    assert [clip["action"] for clip in json.loads(local.stdout)["clips"]] == ["reuse", "reuse"]
    (url,) = {url for each in sandbox.books()["generations"] for url in each["input"]["video_urls"]}
    assert "X-Amz-Signature" in url
    kept = {
        key: content for key, content in s3.contents(bucket).items() if not key.endswith((".mp4", ".html"))
    }
    assert not [key for key, each in kept.items() if b"X-Amz-Signature" in each]
    fetched = httpx.get(url)
    assert fetched.headers["content-type"] == "video/mp4"
    assert fetched.content == (folder / "pan.mp4").read_bytes()


class OldServer(SimpleHTTPRequestHandler):
    """Serves images only."""

    def send_head(self) -> Any:  # noqa: ANN401 -- as its base class
        if self.path.endswith((".mp4", ".mp3")):
            self.send_error(404)
            return None
        return super().send_head()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_unserved_media_buy_nothing(run_cli: Command, sandbox: Sandbox, archive: Path, folder: Path) -> None:
    """A public URL that serves the images, and not the other files, is refused before anything is bought."""
    handler = partial(OldServer, directory=str(archive / "images"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        command = ("produce", folder / "board.json", "--archive", archive, "--images-url", url)
        run = run_cli(*command, *_QUICK, env=sandbox.env)
        server.shutdown()
        thread.join()

    assert run.returncode == 2
    assert "answers 404, so the API could not fetch the " in run.stderr
    assert " file, and nothing was spent" in run.stderr
    assert sandbox.totals()["submits_received"] == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pan.mp4", b"", "pan.mp4 is an empty file"),
        ("pan.mp4", b"version https://git-lfs.github.com/spec/v1\n", "run 'git lfs pull'"),
        ("waves.mp3", b"<html>Sign in</html>", "is a web page (HTML); download the audio file itself"),
    ],
)
def test_faults_buy_nothing(
    run_cli: Command, sandbox: Sandbox, archive: Path, folder: Path, name: str, content: bytes, message: str
) -> None:
    """A file that cannot be used is an error of the storyboard, with its line, before anything is stored."""
    (folder / name).write_bytes(content)

    run = run_cli("produce", folder / "board.json", "--archive", archive, *_QUICK, env=sandbox.env)

    assert run.returncode == 2
    assert "board.json:1: " in run.stderr
    assert message in run.stderr
    assert sandbox.totals()["submits_received"] == 0
    assert not (archive / "clips").exists()


def test_api_refuses_wrong_media(run_cli: Command, sandbox: Sandbox, archive: Path, tmp_path: Path) -> None:
    """The sandbox fetches and decodes files at URLs, and fails generations whose files break the contract."""
    hosted = archive / "images"
    hosted.mkdir(parents=True, exist_ok=True)
    (hosted / "short.mp4").write_bytes(films.clip(1, frames=24))
    (hosted / "long.wav").write_bytes(sound(16, container="wav"))
    (hosted / "eight.wav").write_bytes(sound(8, container="wav"))
    (hosted / "nine.wav").write_bytes(sound(9, container="wav"))
    (hosted / "fine.mp4").write_bytes(films.clip(1, frames=60))
    (hosted / "text.mp4").write_bytes(b"a film")
    each = [
        {"videos": ["short.mp4"]},
        {"videos": ["text.mp4"]},
        {"videos": ["long.wav"]},
        {"videos": ["fine.mp4"], "audios": ["long.wav"]},
        {"videos": ["fine.mp4"], "audios": ["fine.mp4"]},
        {"videos": ["fine.mp4"], "audios": ["eight.wav", "nine.wav"]},
        {"videos": ["fine.mp4"], "audios": ["eight.wav"]},
    ]
    clips = [
        {
            "prompt": f"waves {number}",
            "references": {kind: [sandbox.hosted + name for name in names] for kind, names in given.items()},
        }
        for number, given in enumerate(each)
    ]
    board = tmp_path / "board.json"
    board.write_text(json.dumps({"defaults": {"model": NEW, "resolution": "480p"}, "clips": clips}))

    run = run_cli("produce", board, "--archive", archive, *_QUICK, env=sandbox.env)

    generations = sandbox.books()["generations"]
    states = {each["prompt"]: (each["state"], each["fail_code"]) for each in generations}
    assert run.returncode == 1
    assert [states[f"waves {number}"] for number in range(7)] == [
        *[("failed", "UNSUPPORTED_FORMAT")] * 6,
        ("success", None),
    ]
