import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.storage import backends
from prefect_seedance.storage.backends import Backend, translated_errors
from prefect_seedance.storage.store import Store


@pytest.mark.parametrize(
    "name", ["plain", "with space", "ümläut", "per%41cent", "ha#1sh", "que?ry", "deep/er"]
)
async def test_creates_folders(tmp_path: Path, name: str) -> None:
    """A folder is created under its exact name."""
    store = Store(Backend.open(str(tmp_path / name)))

    await store.create("a/b", b"content")

    assert (tmp_path / name / "a" / "b").read_bytes() == b"content"
    assert await store.keys("a/") == ("a/b",)
    assert store.link("a/b") == str(tmp_path / name / "a" / "b")


def test_opens_file_urls(tmp_path: Path) -> None:
    """A folder can be given as a file URL."""
    backend = Backend.open((tmp_path / "with space").as_uri())

    assert backend.url == str(tmp_path / "with space")
    assert backend.folder == tmp_path / "with space"


def test_opens_relative_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is resolved when the folder is opened, and a tilde is the home folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert Backend.open("archive").url == str(tmp_path / "archive")
    assert Backend.open("~/mine").url == str(tmp_path / "mine")


async def test_memory_is_shared() -> None:
    """Stores with the same memory URL share their objects."""
    await Store(Backend.open("memory://shared")).create("a", b"content")

    assert await Store(Backend.open("memory://shared")).read("a") == b"content"
    assert await Store(Backend.open("memory://other")).read("a") is None


@pytest.mark.parametrize(
    ("url", "opened"),
    [
        ("s3://bucket/films/", "s3://bucket/films"),
        ("gs://bucket", "gs://bucket"),
        ("az://container/films", "az://container/films"),
    ],
)
def test_opens_buckets(url: str, opened: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket is opened without a request, and its URL has no trailing slash."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")

    backend = Backend.open(url)

    assert backend.url == opened
    assert backend.bucket is not None
    assert backend.folder is None
    assert (backend.uploads is not None) == url.startswith("s3://")


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
@pytest.mark.parametrize(
    "prefix", ["films", "Été 1", "50%", "a+b=c&d", "x/y z", "100%z", 'a~[b]{c}|^`"<d>*\\e']
)
def test_keeps_prefixes_literally(prefix: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefix with unusual characters is that of the objects."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")

    bucket = Backend.open(f"{scheme}://bucket/{prefix}/").bucket

    assert bucket is not None
    assert bucket.prefix == prefix


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
@pytest.mark.parametrize(
    "path",
    [
        "b/cut#1",
        "b/shot%20one",
        "b/a?b",
        "b/a%2Fb",
        "b/a/../c",
        "b/./c",
        "b/a\tb",
        "b/a ",
        "b#1/a",
        "b?c",
        "b/a//c",
    ],
)
def test_refuses_other_prefixes(path: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefix that would become another one is an error of one line, with a remedy."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")

    with pytest.raises(SetupError) as caught:
        Backend.open(f"{scheme}://{path}")

    assert "\n" not in str(caught.value)
    assert "would be stored below" in str(caught.value) or "empty path segment" in str(caught.value)


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
@pytest.mark.parametrize("user", ["AKIA:s3cret@", "s3cret@", ":s3cret@"])
def test_refuses_keys_in_urls(user: str, scheme: str) -> None:
    """A URL with a key is refused, and the message does not repeat the key."""
    with pytest.raises(SetupError, match="before @") as caught:
        Backend.open(f"{scheme}://{user}films/dawn")

    assert "s3cret" not in str(caught.value)


def test_prefix_may_have_at() -> None:
    """In a prefix, an @ is a character like others."""
    assert Backend.open("s3://films/dawn@noon").url == "s3://films/dawn@noon"


def test_folders_are_no_buckets(tmp_path: Path) -> None:
    """A folder and a memory are not buckets."""
    assert Backend.open(str(tmp_path)).bucket is None
    assert Backend.open("memory://shared").bucket is None


@pytest.mark.parametrize(
    "url",
    [
        "", "ftp://host/a", "s3://", "gs://", "az://", "file://server/share", "nul\0", "~no-one-here/a",
        "block:films",
    ],
    ids=lambda url: url.replace("\0", "0") or "empty",
)  # fmt: skip
def test_rejects_other_urls(url: str) -> None:
    """An unsupported URL is an error of one line."""
    with pytest.raises(SetupError) as caught:
        Backend.open(url)

    assert "\n" not in str(caught.value)


def test_rejects_paths_without_encoding(tmp_path: Path) -> None:
    """A folder whose path is not UTF-8 is refused, because no record could name it, and not created."""
    with pytest.raises(SetupError, match="surrogates not allowed"):
        Backend.open(str(tmp_path / "films\udcff"))

    assert list(tmp_path.iterdir()) == []


def test_rejects_files(tmp_path: Path) -> None:
    """If the folder cannot be created, the error names it."""
    (tmp_path / "file").touch()

    with pytest.raises(SetupError, match=f"{tmp_path}/file/archive.*Not a directory"):
        Backend.open(str(tmp_path / "file" / "archive"))


@pytest.mark.parametrize(
    ("value", "expiry"),
    [
        ("2026-11-22T13:00:00Z", datetime(2026, 11, 22, 13, tzinfo=UTC)),
        ("2026-11-22T14:00:00+01:00", datetime(2026, 11, 22, 13, tzinfo=UTC)),
        ("2026-11-22T13:00:00", datetime(2026, 11, 22, 13, tzinfo=UTC)),
        ("soon", None),
        ("", None),
    ],
)
def test_reads_expiry(monkeypatch: pytest.MonkeyPatch, value: str, expiry: datetime | None) -> None:
    """The environment's keys expire at the time that is exported with them."""
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", value)

    assert Backend.open("s3://bucket").expires_at == expiry
    assert Backend.open("gs://bucket").expires_at is None


def opened_s3(**changed: Any) -> Backend:  # noqa: ANN401 -- passed on
    options: dict[str, Any] = {
        "prefix": "/films/",
        "config": {"endpoint": "http://localhost:1", "region": "us-east-1"},
        "client": {"allow_http": True},
        "credentials": lambda: {"access_key_id": "key", "secret_access_key": "secret", "expires_at": None},
        "boto": lambda: None,
        "expires_at": datetime(2026, 11, 22, tzinfo=UTC),
    }
    return Backend.open_s3("bucket", **(options | changed))


@pytest.mark.parametrize(
    ("prefix", "url", "uploads_below"),
    [("/films/", "s3://bucket/films", "films/"), ("", "s3://bucket", "")],
    ids=["folder", "whole bucket"],
)
def test_opens_s3_with_credentials(prefix: str, url: str, uploads_below: str) -> None:
    """A bucket with explicit credentials knows its URL, its uploads and when its keys expire."""
    backend = opened_s3(prefix=prefix)

    assert backend.url == url
    assert backend.uploads
    assert backend.uploads.prefix == uploads_below
    assert backend.expires_at == datetime(2026, 11, 22, tzinfo=UTC)


def test_invalid_s3_options_are_one_line() -> None:
    """Invalid options of a bucket are an error of one line."""
    with pytest.raises(SetupError, match=r"^Could not open s3://bucket/films: ") as caught:
        opened_s3(config={"no_such_option": "1"})

    assert "\n" not in str(caught.value)


_XML = "<Error><Code>NoSuchBucket</Code>\n<Message>The specified bucket\n does not exist.</Message></Error>"
_NO_RESPONSE = (
    "Generic S3 error: Error performing GET https://bucket.example/films?list in 30s, after 6 retries - "
)


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        pytest.param(
            f"Client error with status 404: {_XML}",
            "The specified bucket does not exist (NoSuchBucket)",
            id="response",
        ),
        pytest.param(
            f"{_NO_RESPONSE}HTTP error: error sending request",
            "HTTP error: error sending request (https://bucket.example)",
            id="no response",
        ),
        pytest.param(
            f"{_NO_RESPONSE}HTTP error: \n\nDebug source:\nInvalidCertificate(UnknownIssuer)",
            "its certificate is not trusted: UnknownIssuer (https://bucket.example)",
            id="certificate",
        ),
        pytest.param("First line\nsecond line", "First line", id="several lines"),
        pytest.param("Message\n\nDebug source:\nmany\nlines", "Message", id="debug output"),
        pytest.param("", "OSError", id="no message"),
    ],
)
def test_messages_are_readable(raised: str, reason: str) -> None:
    """An error of the storage becomes one line with the storage's own message."""
    with pytest.raises(ArchiveError) as caught, translated_errors("read s3://bucket/a"):
        raise OSError(raised)

    assert str(caught.value) == f"Could not read s3://bucket/a: {reason}"
    assert caught.value.__suppress_context__


def test_exit_waits_after_last_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process exits a moment after the last use of a store, and at once if that was earlier."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with translated_errors("read a"):
        pass
    latest = time.monotonic() + backends._EXIT_DELAY_SECONDS
    for now in (latest - 0.05, latest + 1):
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        backends._EXIT._wait()

    assert 0 < waits[0] <= 0.05
    assert waits[1] == 0
