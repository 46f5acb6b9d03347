"""Results and hosted files over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.sandbox.conftest import Caller


@dataclass
class Result:
    """A video to fetch, and what it should be."""

    caller: Caller
    url: str
    content: bytes

    async def get(self, **headers: str) -> httpx.Response:
        """Fetch it, with headers."""
        return await self.caller.http.get(
            self.url, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )


@pytest.fixture
async def result(there: Caller) -> Result:
    url = await there.film_url()
    return Result(there, url, (await there.http.get(url)).content)


async def test_file_described(result: Result) -> None:
    """A download tells type, length and version, and needs no key."""
    answer = await result.get()

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["etag"].startswith('"')


async def test_head_has_no_body(result: Result) -> None:
    """HEAD tells the same without the file."""
    answer = await result.caller.http.head(result.url)

    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(result.content)
    assert answer.content == b""


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("bytes=0-99", 0, 100), ("bytes=500-", 500, None), ("bytes=-64", -64, None)],
)
async def test_ranges_served(result: Result, wanted: str, start: int, stop: int | None) -> None:
    """A part is 206 and says which."""
    answer = await result.get(Range=wanted)

    assert answer.status_code == 206
    assert answer.content == result.content[start:stop]
    assert answer.headers["content-range"].endswith(f"/{len(result.content)}")


async def test_range_beyond_end(result: Result) -> None:
    """A part that does not exist is 416 and tells the length."""
    answer = await result.get(Range=f"bytes={len(result.content)}-")

    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(result.content)}"


async def test_range_of_other_version(result: Result) -> None:
    """A part of another version is answered with the whole of this one."""
    tag = (await result.get()).headers["etag"]

    assert (await result.get(Range="bytes=0-9", If_Range=tag)).status_code == 206
    assert (await result.get(Range="bytes=0-9", If_Range='"other"')).status_code == 200


async def test_same_input_same_file(result: Result) -> None:
    """Two generations of one input have files of their own with the same bytes."""
    again = await result.caller.film_url()

    assert again != result.url
    assert (await result.caller.http.get(again)).content == result.content


@pytest.mark.parametrize("path", ["/files/task_unknown-1.mp4", "/files/x.mp4", "/hosted/nothing.png"])
async def test_unknown_file_missing(there: Caller, path: str) -> None:
    """A file that does not exist is 404."""
    answer = await there.http.get(path)

    assert answer.status_code == answer.json()["code"] == 404


async def test_second_result_missing(result: Result) -> None:
    """A generation has one result, unless a fault gives it two."""
    assert (await result.caller.http.get(result.url.replace("-1.mp4", "-2.mp4"))).status_code == 404


async def test_result_expires(here: Callable[..., Caller]) -> None:
    """After its lifetime a result is 403."""
    caller = here(result_lifetime_seconds=0)
    url = await caller.film_url()

    answer = await caller.http.get(url)

    assert answer.status_code == answer.json()["code"] == 403
    assert "expired" in answer.json()["message"]


async def test_folder_hosted(there: Caller, hosted: Path) -> None:
    """Files of the served folder can be fetched."""
    answer = await there.http.get("/hosted/dawn.png")

    assert answer.status_code == 200
    assert answer.content == (hosted / "dawn.png").read_bytes()


@pytest.mark.parametrize(
    "path", ["../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "link.txt", "%2fetc%2fpasswd"]
)
async def test_folder_not_left(here: Callable[..., Caller], tmp_path: Path, path: str) -> None:
    """Neither dots nor links lead out of the served folder."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "link.txt").symlink_to(tmp_path / "secret.txt")
    caller = here(serve=tmp_path / "served")

    answer = await caller.http.get(httpx.URL("http://sandbox.test", raw_path=f"/hosted/{path}".encode()))

    assert answer.status_code == 404


async def test_nothing_hosted_unasked(here: Callable[..., Caller]) -> None:
    """Without a folder there is no hosting."""
    assert (await here(serve=None).http.get("/hosted/dawn.png")).status_code == 404
