"""Storyboards and images in folders, buckets and blocks, and the images that the API downloads.

The command runs without Prefect, which has no part in this, except to load blocks.
"""

import contextlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageStat
from prefect_aws import AwsCredentials, S3Bucket
from prefect_aws.client_parameters import AwsClientParameters
from pydantic import SecretStr

from prefect_seedance import ClipArchive
from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.storyboard import image_fit
from prefect_seedance.storyboard.image import Fit
from prefect_seedance.storyboard.image_inspection import inspect_file
from tests import films
from tests.processes import S3, Command, Sandbox

_QUICK = ("--first-poll", "0.2", "--poll-every", "0.2", "--json")
_ORIENTATION = 0x0112


def _upload(s3: S3, bucket: str, folder: Path, prefix: str) -> None:
    with contextlib.closing(s3.client()) as client:
        for path in folder.iterdir():
            client.upload_file(str(path), bucket, f"{prefix}{path.name}")


def _intents(kept: dict[str, bytes]) -> list[dict[str, Any]]:
    """Return the intents in a bucket, by attempt."""
    return [json.loads(kept[key]) for key in sorted(kept) if key.endswith("intent.json")]


@pytest.mark.parametrize("source", ["boards/board.yaml", "boards/"])
def test_storyboard_in_bucket(run_cli: Command, sandbox: Sandbox, s3: S3, board: Path, source: str) -> None:
    """A storyboard or folder in a bucket needs no option, and plans the same clips as a local one."""
    boards, archive, env = s3.bucket(), f"s3://{s3.bucket()}/films", {**sandbox.env, **s3.env}
    _upload(s3, boards, board.parent, "boards/")
    more = ("--archive", archive, "--prompt", "drifting clouds")
    local = board if source.endswith(".yaml") else board.parent

    made = run_cli("produce", f"s3://{boards}/{source}", *more, *_QUICK, env=env)
    planned = run_cli("plan", local, *more, "--json", env=env)

    assert made.returncode == 0, made.stderr
    assert [clip["status"] for clip in json.loads(made.stdout)["clips"]] == ["made", "made"]
    assert [clip["action"] for clip in json.loads(planned.stdout)["clips"]] == ["reuse", "reuse"]
    images = {
        key: content
        for key, content in s3.contents(archive[5:].split("/", maxsplit=1)[0]).items()
        if "images/" in key
    }
    assert set(images.values()) == {path.read_bytes() for path in board.parent.glob("*.png")}


@pytest.fixture
def block(s3: S3, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Save an archive block with its credentials, and return its bucket."""
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 -- used for the block only

    for name in s3.env:
        monkeypatch.delenv(name, raising=False)
    bucket = s3.bucket()
    credentials = AwsCredentials(
        aws_access_key_id="someone",
        aws_secret_access_key=SecretStr("secret"),
        region_name="us-east-1",
        aws_client_parameters=AwsClientParameters(endpoint_url=s3.url),
    )
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        S3Bucket(bucket_name=bucket, bucket_folder="films", credentials=credentials).save(
            "boards", overwrite=True
        )
        ClipArchive(s3_bucket="boards").save("boards", overwrite=True)
        yield bucket


def test_storyboard_in_block(
    run_cli: Command, production_env: dict[str, str], s3: S3, block: str, board: Path
) -> None:
    """A storyboard in an archive block needs no environment variables, nor do its images."""
    _upload(s3, block, board.parent, "films/boards/")
    words = ("block:boards/boards/board.yaml", "--archive", "block:boards")

    planned = run_cli("plan", *words, "--json", env=production_env)
    made = run_cli("produce", *words, *_QUICK, env=production_env)

    assert [clip["action"] for clip in json.loads(planned.stdout)["clips"]] == ["make", "make"], (
        planned.stderr
    )
    assert made.returncode == 0, made.stderr
    assert sum(key.startswith("films/images/") for key in s3.contents(block)) == 3


@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param("boards/bord.yaml", "did you mean 'board.yaml'?", id="missing"),
        pytest.param("boards/", "needs a prompt", id="folder without a prompt"),
        pytest.param(
            "boards/climbing.yaml", "climbing.yaml:1: shot 1, image: '../a.png' leads out", id="escape"
        ),
    ],
)
def test_invalid_stored_storyboard(
    run_cli: Command,
    sandbox: Sandbox,
    s3: S3,
    board: Path,
    source: str,
    says: str,
) -> None:
    """Errors in a stored storyboard are reported before anything is written or paid."""
    bucket, env = s3.bucket(), {**sandbox.env, **s3.env}
    (board.parent / "climbing.yaml").write_text(
        "shots: [{image: ../a.png, prompt: waves}, {image: dawn.png}]"
    )
    _upload(s3, bucket, board.parent, "boards/")
    before = s3.contents(bucket)

    run = run_cli("produce", f"s3://{bucket}/{source}", "--archive", f"s3://{bucket}", env=env)
    nowhere = run_cli("produce", f"s3://no-{bucket}/{source}", "--archive", f"s3://{bucket}", env=env)

    assert (run.returncode, nowhere.returncode) == (2, 2)
    assert says in run.stderr
    assert "(NoSuchBucket). Check the name" in nowhere.stderr
    assert s3.contents(bucket) == before
    assert sandbox.totals()["submits_received"] == 0


def _draw_image(path: Path, size: tuple[int, int], colour: str, **options: Any) -> bytes:  # noqa: ANN401 -- Pillow's
    """Draw an image that changes visibly when it is rotated or cropped."""
    image = Image.new("RGB", size, colour)
    draw, (width, height) = ImageDraw.Draw(image), size
    draw.rectangle((0, 0, width, height // 4), fill="white")
    draw.rectangle((0, 0, width // 6, height), fill="black")
    draw.ellipse((width // 3, height // 3, width * 2 // 3, height * 2 // 3), fill="gold")
    image.save(path, **options)
    return path.read_bytes()


def _ends(video: bytes) -> tuple[Image.Image, Image.Image]:
    """Return the first and last frame of a video."""
    frames = films.frames(video)
    return frames[0], frames[-1]


def _difference(frame: Image.Image, wanted: Image.Image) -> float:
    """Return the mean difference of two images: 0 for equal ones, 1 for black and white."""
    apart = ImageStat.Stat(ImageChops.difference(frame, wanted.resize(frame.size))).mean
    return sum(apart) / len(apart) / 255


@pytest.mark.parametrize("fit", ["crop", "pad", "none"])
def test_images_are_fitted(run_cli: Command, sandbox: Sandbox, s3: S3, tmp_path: Path, fit: Fit) -> None:
    """A rotated photo, a large image and a fitting one become clips that begin and end with them."""
    folder, bucket, env = tmp_path / "phone", s3.bucket(), {**sandbox.env, **s3.env}
    folder.mkdir()
    sideways = Image.Exif()
    sideways[_ORIENTATION] = 6
    _draw_image(folder / "a.jpg", (1600, 1200), "teal", exif=sideways.tobytes(), quality=95)
    heavy = _draw_image(folder / "b.png", (1200, 1200), "purple")
    (folder / "b.png").write_bytes(heavy + bytes(11_000_000))
    exact = _draw_image(folder / "c.webp", (1920, 1080), "navy", lossless=True)
    shots = "".join(f"  - {{image: {name}, prompt: waves}}\n" for name in ("a.jpg", "b.png", "c.webp"))
    words = f"defaults: {{fit: {fit}, aspect_ratio: '16:9', resolution: 480p}}\nshots:\n{shots}"
    (folder / "board.yaml").write_text(words)

    made = run_cli("produce", folder / "board.yaml", "--archive", f"s3://{bucket}", *_QUICK, env=env)
    again = run_cli("produce", folder / "board.yaml", "--archive", f"s3://{bucket}", *_QUICK, env=env)

    assert made.returncode == again.returncode == 0, made.stderr
    assert {clip["status"] for clip in json.loads(again.stdout)["clips"]} == {"reused"}
    kept = s3.contents(bucket)
    contents = [content for key, content in kept.items() if key.startswith("images/")]
    sizes = sorted(Image.open(io.BytesIO(content)).size for content in contents)
    assert len(contents) == 3
    assert exact in contents
    if fit != "none":
        assert sizes == [(1280, 720), (1280, 720), (1920, 1080)]
    images = [
        inspect_file(folder / name, model=DEFAULT_MODEL).fitted(fit, aspect_ratio="16:9")
        for name in ("a.jpg", "b.png", "c.webp")
    ]
    shown = [image_fit.render(image, Path(image.source).read_bytes()) for image in images]
    for number, clip in enumerate(json.loads(made.stdout)["clips"]):
        frames = _ends(kept[clip["clip"]["key"]])
        for frame, wanted in zip(frames, shown[number : number + 2], strict=True):
            if fit != "none":  # otherwise the API crops them
                assert _difference(frame, wanted) < 0.03


def test_image_url_lifetime(run_cli: Command, sandbox: Sandbox, s3: S3, board: Path) -> None:
    """Each attempt gets its own URLs with the requested lifetime, by default one day."""
    bucket, env = s3.bucket(), {**sandbox.env, **s3.env}
    words = ("produce", board, "--archive", f"s3://{bucket}", *_QUICK)
    sandbox.faults({"kind": "generation", "fault": "fail", "code": "GENERATION_FAILED"})

    run_cli(*words, env=env)
    sandbox.faults()
    second = run_cli(*words, "--retry-failed", "--images-lifetime", "30m", env=env)
    forever = run_cli(*words, "--images-lifetime", "200h", env=env)

    assert second.returncode == 0, second.stderr
    queries = [
        httpx.URL(url).params
        for intent in _intents(s3.contents(bucket))
        for url in intent["request"]["input"]["image_urls"]
    ]
    assert sorted({params["X-Amz-Expires"] for params in queries}) == ["1800", "86400"]
    assert len({params["X-Amz-Signature"] for params in queries}) >= 6
    assert forever.returncode == 2
    assert "at most 168h" in forever.stderr


@pytest.mark.parametrize(
    ("minutes", "options", "warned"),
    [
        pytest.param(90, (), True, id="too short"),
        pytest.param(90, ("--images-lifetime", "1h"), False, id="long enough"),
        pytest.param(None, (), False, id="unknown"),
    ],
)
def test_short_credentials_warn(
    run_cli: Command,
    sandbox: Sandbox,
    s3: S3,
    board: Path,
    minutes: int | None,
    options: tuple[str, ...],
    warned: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    """Credentials that expire before the URLs cause a warning, and the clips are made."""
    env = {**sandbox.env, **s3.env, "AWS_SESSION_TOKEN": "temporary"}
    if minutes:
        env["AWS_CREDENTIAL_EXPIRATION"] = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()

    made = run_cli("produce", board, "--archive", f"s3://{s3.bucket()}", *options, *_QUICK, env=env)

    assert made.returncode == 0, made.stderr
    assert ("warning: The credentials of s3://" in made.stderr) is warned
