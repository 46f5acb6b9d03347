"""The limits of each model, against the strict stand-in for the API."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from prefect_seedance.api.account import Account
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.clip_check import problems
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.errors import InvalidRequestError
from prefect_seedance.sandbox import Settings, create_app

PRO, NEW, FAST = "seedance-1-5-pro", "seedance-2-0", "seedance-2-0-fast"
URL = "http://127.0.0.1:9/file"
RATIOS = ("1:1", "16:9", "9:16", "21:9", "3:4", "4:3", "auto", "2:1", "")
FILES = ("image_urls", "video_urls", "audio_urls")


def _files(images: int = 0, videos: int = 0, audios: int = 0) -> dict[str, Any]:
    counts = dict(zip(FILES, (images, videos, audios), strict=True))
    return {field: [URL] * count for field, count in counts.items() if count}


def _modes(model: str) -> dict[str, list[tuple[dict[str, Any], bool]]]:
    """Return each mode's files, and whether the contract accepts them."""
    frames = "image-to-video" if model == PRO else "first_and_last_frames"
    alone = [(_files(videos=1), False), (_files(audios=1), False)]
    modes = {
        "text-to-video": [(_files(), True), (_files(1), False), *alone],
        frames: [*((_files(count), count in {1, 2}) for count in range(4)), *alone],
    }
    if model != PRO:
        accepted = [(9, 3, 3), (1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 3, 3)]
        refused = [(0, 0, 0), (0, 0, 1), (10, 0, 0), (0, 4, 0), (1, 0, 4), (10, 3, 3)]
        modes["omni_reference"] = [
            *((_files(*counts), True) for counts in accepted),
            *((_files(*counts), False) for counts in refused),
        ]
    return modes


def _limits(model: str) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield each value at and beyond a limit, and whether the contract accepts it."""
    is_pro = model == PRO
    for seconds in range(17):
        yield {"duration": seconds}, seconds in ({4, 8, 12} if is_pro else range(4, 16))
    for name in ("480p", "720p", "1080p", "4k"):
        yield {"resolution": name}, name in {"480p", "720p", *(("1080p",) if model == NEW else ())}
    for ratio in RATIOS:
        yield {"aspect_ratio": ratio}, bool(ratio) and ratio != "2:1" and not (is_pro and ratio == "auto")
    for length in (0, 1, 2, 3, 2500, 2501):
        yield {"prompt": "x" * length}, 3 <= length <= 2500 if is_pro else length > 0
    for on in (True, False):
        yield {"sound": on}, True
        yield {"fixed_lens": on}, is_pro
        yield {"web_search": on}, not is_pro


def _cases() -> Iterator[Any]:
    for model in (PRO, NEW, FAST):
        own = {"fixed_lens": False} if model == PRO else {"fixed_lens": None}
        for mode, files in _modes(model).items():
            fitting = next(given for given, is_accepted in files if is_accepted)
            tables = [*files, *((fitting | given, is_accepted) for given, is_accepted in _limits(model))]
            for given, is_accepted in tables:
                values = {"mode": mode, "prompt": "drifting clouds", **own, **given}
                label = ",".join(
                    f"{name}={len(value) if isinstance(value, list) or len(str(value)) > 9 else value}"
                    for name, value in given.items()
                )
                yield pytest.param(model, values, is_accepted, id=f"{model}-{mode}-{label}")


@asynccontextmanager
async def _client() -> AsyncIterator[tuple[SeedanceClient, httpx.AsyncClient]]:
    transport = httpx.ASGITransport(create_app(Settings(speed=1e-6)))
    async with (
        SeedanceClient(
            "sandbox-key", base_url="http://localhost", transport=transport, account=Account()
        ) as client,
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as raw,
    ):
        yield client, raw


@pytest.mark.parametrize(("model", "given", "is_accepted"), list(_cases()))
async def test_contract_decides(model: str, given: dict[str, Any], is_accepted: bool) -> None:  # noqa: FBT001 -- a column of the table
    """Our check and the stand-in accept exactly what the contract says, for each model, mode and limit."""
    sent = {name: value for name, value in given.items() if value is not None}
    body = {"input": {"duration": 4, "resolution": "480p", "aspect_ratio": "1:1", "sound": False, **sent}}
    async with _client() as (client, raw):
        answer = await raw.post(
            f"/api/v1/generateTask/{model}", json=body, headers={"Authorization": "Bearer sandbox-key"}
        )
        request = GenerateRequest(input=ClipInput.model_validate({"resolution": "480p", **given}))
        found = problems(request.input, model=model)
        if not found:
            async with client.admission():
                assert await client.submit(request, model=model)

    assert answer.status_code == (200 if is_accepted else 400), answer.text
    assert (not found) == is_accepted, found


@pytest.mark.parametrize(
    ("model", "mode"),
    [(PRO, "omni_reference"), (PRO, "first_and_last_frames"), (NEW, "image-to-video")],
)
def test_foreign_modes_refused(model: str, mode: str) -> None:
    """A mode of another model is refused, and the model's own modes are named."""
    (problem,) = problems(
        ClipInput(mode=mode, prompt="waves", image_urls=(URL,), fixed_lens=None), model=model
    )

    assert problem.field == "mode"
    assert problem.message.startswith(f"'{mode}' is not a mode of {model}; it has text-to-video, ")


def test_unknown_modes_refused() -> None:
    """A mode that no model has is a mistake, with the modes to choose from."""
    with pytest.raises(ValidationError, match="unknown mode 'video-to-video'; known: text-to-video"):
        ClipInput(mode="video-to-video", prompt="waves")


async def test_client_refuses_foreign_settings() -> None:
    """A setting that the model lacks is refused before anything is sent."""
    request = GenerateRequest(input=ClipInput(mode="text-to-video", prompt="waves", resolution="480p"))

    async with _client() as (client, _), client.admission():
        with pytest.raises(InvalidRequestError, match=r"fixed_lens is not a setting of seedance-2-0"):
            await client.submit(request, model=NEW)
