"""Each model has its own limits, which a file of models can change."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from prefect_seedance.api.capabilities import FileLimits
from prefect_seedance.api.models import CAPABILITIES
from prefect_seedance.sandbox.media import MediaLimits
from prefect_seedance.sandbox.models import Limits, models_from
from tests import films
from tests.sandbox.conftest import TIMEOUT_SECONDS, Client
from tests.sounds import sound

VIDEO = films.clip(1, frames=48, size=(64, 36))
SOUND = sound(2)


def limits_of(model: str, file: Path | None = None) -> Limits:
    submission = models_from(file)[model]
    return cast(Limits, cast(Any, submission.model_fields["input"].annotation).limits)


@pytest.mark.parametrize("model", ["seedance-2-0", "seedance-2-0-fast"])
def test_limits_of_media_agree(model: str) -> None:
    """The sandbox refuses what a run refuses, though the two state their limits apart."""
    own, runs = limits_of(model), CAPABILITIES[model]

    for ours, theirs in ((own.videos, runs.video_files), (own.audios, runs.audio_files)):
        assert (ours.seconds, ours.total_seconds, ours.max_bytes) == (
            theirs.seconds,
            theirs.total_seconds,
            theirs.max_bytes,
        )


def test_file_limits_media(tmp_path: Path) -> None:
    """A file of models limits the bytes and seconds of each medium; what it omits has the same defaults."""
    file = tmp_path / "models.yaml"
    file.write_text(
        "later: {video_files: {formats: [MP4], max_bytes: 900, seconds: [1, 30], total_seconds: 40}, "
        "audio_files: {formats: [MP3], max_bytes: 800}}"
    )

    found, default = limits_of("later", file), FileLimits(formats=("MP3",), max_bytes=800)

    assert found.videos == MediaLimits(max_bytes=900, seconds=(1, 30), total_seconds=40)
    assert found.audios == MediaLimits(
        max_bytes=800, seconds=default.seconds, total_seconds=default.total_seconds
    )


@pytest.mark.parametrize("spare", [0, -1], ids=["limit", "above"])
@pytest.mark.parametrize("medium", ["video", "audio"])
async def test_large_media_fail(
    medium: str, spare: int, tmp_path: Path, in_process: Callable[..., Client]
) -> None:
    """A file above the limit of its medium, and not of the other one, fails the generation."""
    files = {"video": VIDEO, "audio": SOUND}
    sizes = {name: len(content) + (spare if name == medium else 0) for name, content in files.items()}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    models = tmp_path / "models.yaml"
    limits = {f"{name}_files": {"max_bytes": size} for name, size in sizes.items()}
    models.write_text(json.dumps({"later": limits}))
    sandbox = in_process(serve=tmp_path, models=models, speed=1000)
    requested = {
        "mode": "omni_reference",
        "prompt": "waves",
        "duration": 4,
        "resolution": "480p",
        "sound": False,
        **{f"{name}_urls": [f"http://sandbox.test/hosted/{name}"] for name in files},
    }

    sent = await sandbox.http.post(
        "/api/v1/generateTask/later", json={"input": requested}, headers=sandbox.authorization
    )
    status: dict[str, Any] = {"state": "pending"}
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while status["state"] in {"pending", "processing"}:
            await asyncio.sleep(0.01)
            task = {"taskId": sent.json()["data"]["taskId"]}
            read = await sandbox.http.get(
                "/api/v1/statusTask/later", params=task, headers=sandbox.authorization
            )
            status = read.json()["data"]

    assert status.get("failCode") == (None if spare == 0 else "IMAGE_TOO_LARGE")
