"""The API key is sent to the API and stored nowhere else."""

import base64
import json
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from pydantic import SecretStr

from prefect_seedance import SeedanceCredentials
from tests.processes import Sandbox, environment, free_port, running

_RUN_SECONDS = 120.0

_VERBOSE_COMMAND = """\
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from prefect_seedance.cli import main
sys.argv[0] = "prefect-seedance"
main()
"""
"""The command in a program with debug logging of all libraries."""

_VERBOSE = {
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "prefect_seedance",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONUNBUFFERED": "1",
}

_CARELESS_PROGRAM = """\
import os
from prefect import flow, get_run_logger, task
from prefect_seedance import SeedanceCredentials

@task(persist_result=True)
def hand_back() -> SeedanceCredentials:
    return SeedanceCredentials.from_env()

@flow
def careless() -> None:
    hand_back()
    get_run_logger().warning("The key is %s", os.environ["SEEDANCE_API_KEY"])
    print("The key is", os.environ["SEEDANCE_API_KEY"])

careless()
"""
"""Leaks the key in every way that a user's program can."""


def needles(secret: str) -> list[bytes]:
    """Return the forms of a secret: plain, reversed, as hex, and in base64 at each of three offsets."""
    plain = secret.encode()
    encoded = [base64.b64encode(b"\0" * offset + plain)[4:-4] for offset in range(3)]
    return [plain, plain[::-1], plain.hex().encode(), *encoded]


def is_within(secret: str, content: bytes) -> bool:
    """Return whether content contains a secret, even across line breaks."""
    joined = content.replace(b"\\n", b"").replace(b"\n", b"")
    return any(needle in text for needle in needles(secret) for text in (content, joined))


def dump(database: Path) -> bytes:
    """Return all rows of a database in use, in which no value is split between pages."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return "\n".join(connection.iterdump()).encode()


def finds(secret: str, *places: Path | bytes | str) -> list[str]:
    """Return the texts, and the files in the folders, that contain a secret."""
    return [name for name, content in _contents(places) if is_within(secret, content)]


def _contents(places: Sequence[Path | bytes | str]) -> Iterator[tuple[str, bytes]]:
    for number, place in enumerate(places):
        if not isinstance(place, Path):
            yield f"text {number}", place.encode() if isinstance(place, str) else place
            continue
        for file in place.rglob("*"):
            yield f"name of {file}", file.name.encode()
            if file.is_file():
                yield str(file), file.read_bytes()
            if file.suffix == ".db":
                yield f"rows of {file}", dump(file)


def run_all(*programs: tuple[Sequence[object], dict[str, str]]) -> list[str]:
    """Run programs concurrently and return their output."""
    with ExitStack() as stack:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        started = [stack.enter_context(running(*words, env=env, **pipes)) for words, env in programs]
        return [process.communicate(timeout=_RUN_SECONDS)[0] for process in started]


@pytest.fixture
def key() -> str:
    """Return a random key."""
    return f"sd-{secrets.token_hex(16)}"


@pytest.fixture
def loud(prefect_server: str, tmp_path: Path) -> dict[str, str]:
    """Return the environment of programs that log everything and persist all results."""
    results = {"PREFECT_LOCAL_STORAGE_PATH": str(tmp_path / "loud" / "storage")}  # 3.8 ignores PREFECT_HOME
    return environment(tmp_path / "loud", PREFECT_API_URL=prefect_server, **results, **_VERBOSE)


def test_key_stays_hidden(
    start_sandbox: Callable[..., Sandbox],
    prefect_server: str,
    prefect_server_home: Path,
    loud: dict[str, str],
    archive: Path,
    board: Path,
    tmp_path: Path,
    key: str,
) -> None:
    """No run leaves a key in the archive, output, database, results or the sandbox's books."""
    sandbox = start_sandbox(api_key=key, serve=archive / "images")
    sandbox.faults(
        {"kind": "submit", "fault": "accept-then-drop", "clip": "after noon"},
        {"kind": "file", "fault": "truncate", "at_share": 0.5, "times": 1},
    )
    with temporary_settings({PREFECT_API_URL: prefect_server, PREFECT_HOME: tmp_path / "saving"}):
        block = SeedanceCredentials(api_key=SecretStr(key), base_url=sandbox.url)
        block.save("secrets-journey", overwrite=True)
    other_key = f"sd-{secrets.token_hex(16)}"
    refusing = start_sandbox(api_key=other_key, serve=archive / "images")
    refusing.faults({"kind": "submit", "fault": "answer", "status": 401})
    produce = (
        sys.executable, "-c", _VERBOSE_COMMAND, "produce", board, "--images-url", sandbox.hosted,
        "--verbose", "--first-poll", 0.3, "--poll-every", 0.2, "--timeout", 3,
    )  # fmt: skip
    refused, unreachable = archive / "refused", archive / "unreachable"
    for folder in (refused, unreachable):
        folder.mkdir()
        (folder / "images").symlink_to(archive / "images")

    outputs = run_all(
        ((*produce, "--archive", archive, "--name", "by-block", "--credentials", "secrets-journey"), loud),
        (
            (*produce, "--archive", refused, "--name", "refused"),
            {**loud, "SEEDANCE_API_KEY": other_key, "SEEDANCE_BASE_URL": refusing.url},
        ),
        (
            (*produce, "--archive", unreachable, "--name", "unreachable", "--deadline", 5),
            {**loud, "SEEDANCE_API_KEY": key, "SEEDANCE_BASE_URL": f"http://127.0.0.1:{free_port()}"},
        ),
    )

    database = prefect_server_home / "prefect.db"
    _wait_for_rows(database, b"seedance.clip.archived", b"seedance-by-block-manifest", b"produce refused")
    results = list((tmp_path / "loud" / "storage").iterdir())
    assert "1 unresolved, 1 made" in outputs[0]
    assert "401" in outputs[1]
    assert "Connect" in outputs[2]
    assert all("send_request_headers" in text for text in outputs)
    assert results
    places: list[Path | bytes | str] = [archive, tmp_path, prefect_server_home, *outputs]
    places += [json.dumps(sandbox.books()), json.dumps(refusing.books())]
    assert finds(key, *places) == []
    assert finds(other_key, *places) == []


def test_search_finds_leaks(
    prefect_server_home: Path, loud: dict[str, str], archive: Path, tmp_path: Path, key: str
) -> None:
    """The search finds a planted key in every place."""
    (archive / f"{key}.txt").write_text("harmless")
    (archive / "request.json").write_text(json.dumps({"headers": {"Authorization": f"Bearer {key}"}}))

    (outputs,) = run_all(((sys.executable, "-c", _CARELESS_PROGRAM), {**loud, "SEEDANCE_API_KEY": key}))
    _wait_for_rows(prefect_server_home / "prefect.db", key.encode())

    storage = tmp_path / "loud" / "storage"
    assert finds(key, outputs) == ["text 0"]
    assert len(finds(key, storage)) == 1
    assert f"rows of {prefect_server_home / 'prefect.db'}" in finds(key, prefect_server_home)
    assert sorted(finds(key, archive)) == [
        str(archive / "request.json"),
        f"name of {archive / key}.txt",
    ]


def _wait_for_rows(database: Path, *contents: bytes) -> None:
    """Wait until Prefect has stored all of these contents, so that the search is complete."""
    latest = time.monotonic() + _RUN_SECONDS
    while not all(content in dump(database) for content in contents):
        assert time.monotonic() < latest, f"{database} does not contain all of {contents}"
        time.sleep(0.5)
