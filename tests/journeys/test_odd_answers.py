"""Commands of a person against an API, file hosts and folders that answer unlike the documentation."""

import errno
import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from prefect_seedance.cli import main
from tests.films import clip
from tests.odd_api import Headers, OddApi, Reply, serving
from tests.processes import CALLBACK_SECRET, environment, free_port, receiving

VIDEO = clip(1)
DATE = "Sun, 22 Nov 2026 13:00:00 GMT"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[OddApi]:
    """Serve a stand-in that works, and use it."""
    with serving(OddApi(file=lambda *_: Reply(body=VIDEO))) as odd:
        monkeypatch.setenv("SEEDANCE_API_KEY", "journey-key")
        monkeypatch.setenv("SEEDANCE_BASE_URL", odd.url)
        yield odd


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """Return a list of two clips."""
    path = tmp_path / "board.json"
    clips = [{"prompt": f"drifting clouds, take {number}"} for number in (1, 2)]
    path.write_text(json.dumps({"title": "Odd", "clips": clips}))
    return path


Produce = Callable[..., int]


@pytest.fixture
def produce(board: Path, tmp_path: Path) -> Produce:
    """Return a function that runs the command into one archive."""

    def run(*words: object) -> int:
        quick = ("--first-poll", "0", "--poll-every", "0.1", "--timeout", "3", "--no-report")
        return main(["produce", str(board), "--archive", str(tmp_path / "archive"), *quick, *map(str, words)])

    return run


def archived(tmp_path: Path) -> int:
    return len(list((tmp_path / "archive").glob("clips/*/clip-*.mp4")))


@pytest.mark.parametrize(
    "result",
    [
        lambda url: json.dumps({"resultUrls": [f"\n {url}\r\n"]}),
        lambda url: json.dumps({"resultUrls": [url.replace("http", "HTTP")]}),
        lambda url: json.dumps({"resultUrls": url}),
        lambda url: {"resultUrls": [{"url": url}]},
    ],
    ids=["line ends", "upper case", "text", "object"],
)
def test_finds_odd_urls(
    result: Callable[[str], object], api: OddApi, produce: Produce, tmp_path: Path
) -> None:
    """A paid video is archived, however the API writes its URL."""
    api.result = result

    assert produce() == 0
    assert archived(tmp_path) == len(api.paid) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308], ids=str)
def test_redirect_is_a_wrong_address(
    status: int, api: OddApi, produce: Produce, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A base URL that redirects ends with code 2 and names both URLs, and nothing is unresolved."""
    target = "https://new.example/api/v1/generateTask/seedance-1-5-pro"
    api.submit = lambda _: Reply(status, b"<html>moved</html>", {"Location": target})

    code = produce()
    said = capsys.readouterr().out
    main(["ledger", str(tmp_path / "archive"), "--unresolved"])

    assert code == 2
    assert f"The base URL {api.url} redirects to https://new.example ({status})" in said
    assert capsys.readouterr().out == "0 clips\n"


def test_redirected_reads_are_free(api: OddApi, produce: Produce, capsys: pytest.CaptureFixture[str]) -> None:
    """If the API's address redirects every request, nothing is submitted."""
    api.read = Reply(308, headers={"Location": "https://new.example/api/v1/apikeys/current-balance"})

    assert produce() == 2
    assert f"The base URL {api.url} redirects to https://new.example (308)" in capsys.readouterr().err
    assert not api.posts


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404], ids=str)
def test_firewall_costs_one_run(status: int, api: OddApi, produce: Produce, tmp_path: Path) -> None:
    """A firewall's page is no verdict on a clip: the next run makes it."""
    page = Reply(status, b"<!DOCTYPE html><title>Blocked</title>", {"Content-Type": "text/html"})
    api.submit = lambda number: page if number == 1 else None

    assert (produce(), produce()) == (1, 0)
    assert archived(tmp_path) == len(api.paid) == 2


def test_unresolved_is_listed_at_once(
    api: OddApi, produce: Produce, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that a run names lists what it left unresolved at once, and it can be resolved at once."""
    api.submit = lambda number: Reply(upto=0, accepts=True) if number == 1 else None
    archive = str(tmp_path / "archive")

    code = produce()
    capsys.readouterr()
    main(["ledger", archive, "--unresolved"])
    listed = capsys.readouterr().out
    fingerprint = re.search(r"^[0-9a-f]{12}", listed, re.MULTILINE)

    assert code == 3
    assert fingerprint
    assert main(["resolve", archive, fingerprint[0], "--lost"]) == 0
    assert produce() == 0


@pytest.mark.parametrize(
    "early", [Reply(404), Reply(403), Reply(202), Reply(body=b"<html>wait"), Reply(body=VIDEO[:900])],
    ids=["404", "403", "202", "page", "part"],
)  # fmt: skip
def test_waits_for_late_file(early: Reply, api: OddApi, produce: Produce, tmp_path: Path) -> None:
    """A file that is not there yet just after the success is waited for."""
    api.file = lambda number, _: early if number <= 4 else Reply(body=VIDEO)

    assert produce() == 0
    assert archived(tmp_path) == len(api.paid) == 2


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("", gzip.compress)],
    ids=["gzip", "deflate", "unannounced"],
)
def test_decodes_compressed_file(
    encoding: str, encode: Callable[[bytes], bytes], api: OddApi, produce: Produce, tmp_path: Path
) -> None:
    """A host that compresses files unasked delivers the same video."""
    api.file = lambda *_: Reply(body=encode(VIDEO), headers={"Content-Encoding": encoding})

    assert produce() == 0
    assert {path.read_bytes() for path in (tmp_path / "archive").glob("clips/*/clip-*.mp4")} == {VIDEO}


@pytest.mark.parametrize("date", [DATE, ""], ids=["date", "no date"])
def test_resumes_with_weak_tag(date: str, api: OddApi, produce: Produce, tmp_path: Path) -> None:
    """A host with weak ETags that cuts every transfer after a third still delivers the video."""
    third = len(VIDEO) // 3 + 100

    def cut(_: int, headers: Headers) -> Reply:
        said = {"ETag": 'W/"1"', **({"Last-Modified": date} if date else {})}
        if "Range" not in headers or headers.get("If-Range") != (date or None):
            return Reply(body=VIDEO, headers=said, upto=third)
        first = int(headers["Range"].removeprefix("bytes=").rstrip("-"))
        said["Content-Range"] = f"bytes {first}-{len(VIDEO) - 1}/{len(VIDEO)}"
        return Reply(206, VIDEO[first:], said, upto=third)

    api.file = cut

    assert produce() == 0
    assert archived(tmp_path) == 2


@pytest.mark.parametrize(
    ("encoding", "encode"), [("", bytes), ("gzip", gzip.compress)], ids=["plain", "compressed"]
)
def test_callback_ends_lost_answers(
    encoding: str,
    encode: Callable[[bytes], bytes],
    api: OddApi,
    produce: Produce,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A callback resolves a lost answer as gateways deliver it: garbled first, then with a slash."""
    monkeypatch.setenv("SEEDANCE_CALLBACK_SECRET", CALLBACK_SECRET)
    api.submit = lambda _: Reply(upto=0, accepts=True)
    port = free_port()
    account = {"SEEDANCE_API_KEY": "journey-key", "SEEDANCE_BASE_URL": api.url}
    env = environment(tmp_path, **account, SEEDANCE_CALLBACK_SECRET=CALLBACK_SECRET)
    codes = [produce("--callback-url", f"http://127.0.0.1:{port}", "--no-wait")]

    with receiving(tmp_path / "archive", env=env, port=port):
        for number, post in enumerate(api.posts, start=1):
            url = json.loads(post)["callback_url"]
            body = json.dumps({"code": 200, "data": {"taskId": f"task_{number}"}}).encode()
            head = httpx.head(url).status_code
            garbled = httpx.post(url, content=b"?").status_code
            headers = {"Content-Encoding": encoding, "Content-Type": "text/plain"}
            answer = httpx.post(f"{url}/", content=encode(body), headers=headers).status_code
            codes += [head, garbled, answer]
        codes.append(produce("--callback-url", f"http://127.0.0.1:{port}"))

    assert codes == [3, *[200, 503, 200] * 2, 0]
    assert archived(tmp_path) == len(api.posts) == 2


def test_folder_needs_hard_links(
    api: OddApi,
    board: Path,
    produce: Produce,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A folder without hard links is refused by both commands, with the cause and before anything is paid."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)

    codes = [main(["plan", str(board), "--archive", str(tmp_path / "archive")]), produce()]

    said = "".join(capsys.readouterr())
    assert codes == [2, 2]
    assert said.count("is on a file system without hard links (Operation not permitted)") == 2
    assert not api.posts


@pytest.mark.parametrize("prefix", ["cut#1", "shot%20one", "what?"])
def test_prefix_is_kept_or_refused(prefix: str, board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A prefix that would become another one is refused before anything is stored."""
    assert main(["plan", str(board), "--archive", f"s3://films.example.com/{prefix}"]) == 2
    assert "would be stored below" in capsys.readouterr().err


def test_dead_address_is_named(
    api: OddApi, produce: Produce, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason is shown while the run tries, and at its deadline nothing counts as submitted."""
    port = free_port()
    monkeypatch.setenv("SEEDANCE_BASE_URL", f"http://127.0.0.1:{port}")

    code = produce("--deadline", "3")

    said = capsys.readouterr()
    assert code == 2
    assert re.search(
        rf"cannot reach 127.0.0.1:{port}: Connection refused; trying until \d\d:\d\d\n", said.err
    )
    assert "2 not submitted. This run submitted 0 s of video." in said.out
    assert not api.posts
