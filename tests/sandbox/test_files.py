"""Results and hosted files over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.sandbox.conftest import Client


@dataclass
class Result:
    """A result video with its URL and content."""

    caller: Client
    url: str
    content: bytes

    async def get(self, **headers: str) -> httpx.Response:
        """Download the video with the given headers."""
        return await self.caller.http.get(
            self.url, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )


@pytest.fixture
async def result(api: Client) -> Result:
    url = await api.video_url()
    return Result(api, url, (await api.http.get(url)).content)


async def test_download_headers(result: Result) -> None:
    """A download has a type, length and ETag, and needs no key."""
    response = await result.get()

    assert response.status_code == 200
    assert response.headers["content-type"] == "video/mp4"
    assert response.headers["accept-ranges"] == "bytes"
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.headers["etag"].startswith('"')


async def test_head_has_no_body(result: Result) -> None:
    """HEAD returns the headers without the file."""
    response = await result.caller.http.head(result.url)

    assert response.status_code == 200
    assert int(response.headers["content-length"]) == len(result.content)
    assert response.content == b""


@pytest.mark.parametrize(
    ("byte_range", "start", "stop"),
    [("bytes=0-99", 0, 100), ("bytes=500-", 500, None), ("bytes=-64", -64, None)],
)
async def test_ranges_served(result: Result, byte_range: str, start: int, stop: int | None) -> None:
    """A range request returns 206 with the requested bytes."""
    response = await result.get(Range=byte_range)

    assert response.status_code == 206
    assert response.content == result.content[start:stop]
    assert response.headers["content-range"].endswith(f"/{len(result.content)}")


async def test_range_beyond_end(result: Result) -> None:
    """A range beyond the end returns 416 with the length."""
    response = await result.get(Range=f"bytes={len(result.content)}-")

    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(result.content)}"


async def test_range_of_other_version(result: Result) -> None:
    """A range of another version returns the whole file."""
    tag = (await result.get()).headers["etag"]

    assert (await result.get(Range="bytes=0-9", If_Range=tag)).status_code == 206
    assert (await result.get(Range="bytes=0-9", If_Range='"other"')).status_code == 200


async def test_same_input_same_file(result: Result) -> None:
    """Two generations of one input have different URLs with equal content."""
    again = await result.caller.video_url()

    assert again != result.url
    assert (await result.caller.http.get(again)).content == result.content


@pytest.mark.parametrize("path", ["/files/task_unknown-1.mp4", "/files/x.mp4", "/hosted/nothing.png"])
async def test_unknown_file_missing(api: Client, path: str) -> None:
    """A missing file returns 404."""
    response = await api.http.get(path)

    assert response.status_code == response.json()["code"] == 404


async def test_second_result_missing(result: Result) -> None:
    """A generation has one result by default."""
    assert (await result.caller.http.get(result.url.replace("-1.mp4", "-2.mp4"))).status_code == 404


async def test_result_expires(in_process: Callable[..., Client]) -> None:
    """An expired result returns 403."""
    caller = in_process(result_lifetime_seconds=0)
    url = await caller.video_url()

    response = await caller.http.get(url)

    assert response.status_code == response.json()["code"] == 403
    assert "expired" in response.json()["message"]


async def test_folder_hosted(api: Client, hosted: Path) -> None:
    """The files of the served folder can be downloaded."""
    response = await api.http.get("/hosted/dawn.png")

    assert response.status_code == 200
    assert response.content == (hosted / "dawn.png").read_bytes()


@pytest.mark.parametrize(
    "path", ["../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "link.txt", "%2fetc%2fpasswd"]
)
async def test_path_traversal_refused(in_process: Callable[..., Client], tmp_path: Path, path: str) -> None:
    """Neither `..` nor symbolic links lead out of the served folder."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "link.txt").symlink_to(tmp_path / "secret.txt")
    caller = in_process(serve=tmp_path / "served")

    response = await caller.http.get(httpx.URL("http://sandbox.test", raw_path=f"/hosted/{path}".encode()))

    assert response.status_code == 404


async def test_hosting_disabled_by_default(in_process: Callable[..., Client]) -> None:
    """Without a folder, hosted paths return 404."""
    assert (await in_process(serve=None).http.get("/hosted/dawn.png")).status_code == 404
