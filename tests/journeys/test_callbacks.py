"""Callbacks between real processes: the stand-in API, the receiver, Prefect's server, and runs that wait."""

import asyncio
import gc
import http.client
import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from pydantic import SecretStr

from prefect_seedance import ClipList, ClipSpec, Manifest, Polling, SeedanceCredentials, produce
from tests.processes import CALLBACK_SECRET, S3, Command, Receiver, Sandbox

# Prefect's own clients leave sockets open, as any flow shows.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

_TOLD_ONLY = Polling(first_seconds=0.5, every_seconds=0.5, callback_seconds=600, ledger_seconds=0.5)
"""Whoever goes by it never asks the API before a callback came."""

_OF_EVENTS_ONLY = Polling(first_seconds=600)
"""Nor looks into the ledger, unless an event wakes it."""

_RECORDED_SECONDS = 1.0
"""From a generation's end to its record, on average, on a machine that does other things; idle, it is under
0.3 s, as benchmarks/callbacks.py measures."""

_PATIENCE_SECONDS = 90.0


@pytest.fixture(autouse=True)
def _prefect(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run this process's flows on the server of the stories; what they leave open is to be found here."""
    settings = {
        PREFECT_API_URL: prefect_server,
        PREFECT_HOME: tmp_path_factory.mktemp("home"),
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with temporary_settings(settings):
        yield
    gc.collect()


Make = Callable[..., Manifest]


@pytest.fixture
def make(archive: Path, sandbox: Sandbox) -> Make:
    """Return how to make a number of clips in a flow of this process, called back by a receiver."""

    def made(
        number: int,
        receiver: Receiver | None,
        *,
        at: object = archive,
        places: int = 1000,
        **options: Any,  # noqa: ANN401 -- as produce has them
    ) -> Manifest:
        account = SeedanceCredentials(
            api_key=SecretStr(sandbox.key),
            base_url=sandbox.url,
            callback_secret=SecretStr(CALLBACK_SECRET),
            generations_in_flight=places,
        )
        clips = ClipList(
            title="Calls", clips=tuple(ClipSpec(prompt=f"call {n} rings") for n in range(number))
        )

        @flow(name="calls")
        async def story() -> Manifest:
            return await produce(
                clips,
                archive=str(at),
                credentials=account,
                callback_url=receiver.url if receiver else "",
                **{"deadline_seconds": _PATIENCE_SECONDS, "pace": _TOLD_ONLY, **options},
            )

        return asyncio.run(story())

    return made


def write_clips(folder: Path, number: int) -> Path:
    """Write a list of clips, and return the file."""
    clips = "".join(f"  - prompt: call {n} rings\n" for n in range(number))
    (folder / "calls.yaml").write_text(f"title: Calls\nclips:\n{clips}", encoding="utf-8")
    return folder / "calls.yaml"


def reads(sandbox: Sandbox) -> Sequence[int]:
    """Return how often each generation's status was read, ascending."""
    return sorted(each["status_reads"] for each in sandbox.books()["generations"])


def recorded_after(archive: Path) -> Sequence[float]:
    """Return the seconds from each generation's end to its outcome's record."""
    found = [(path, json.loads(path.read_text())) for path in archive.glob("clips/*/*/outcome.json")]
    return [
        path.stat().st_mtime - outcome["generation"]["answer"]["completeTime"] / 1000
        for path, outcome in found
    ]


def contents(archive: Path) -> Mapping[Path, bytes]:
    """Return everything in an archive."""
    return {path: path.read_bytes() for path in archive.rglob("*") if path.is_file()}


def test_hundred_are_told_of(
    start_cli: Callable[..., Any],
    start_sandbox: Callable[..., Sandbox],
    start_receiver: Callable[..., Receiver],
    archive: Path,
    tmp_path: Path,
    prefect_server: str,
) -> None:
    """Of a hundred clips each is recorded as soon as it has ended, and its status is read once or twice."""
    sandbox = start_sandbox(speed=8, frame_rate=1)
    env = {
        "PREFECT_API_URL": prefect_server,
        **sandbox.env,
        "SEEDANCE_CALLBACK_SECRET": CALLBACK_SECRET,
    }
    receiver = start_receiver(archive, env=env)
    options = ("--archive", archive, "--callback-url", receiver.url)

    run = start_cli("produce", write_clips(tmp_path, 100), *options, env=env)
    said, complained = run.communicate(timeout=3 * _PATIENCE_SECONDS)

    after = recorded_after(archive)
    assert run.returncode == 0, complained
    assert "100 made" in said
    assert len(after) == 100
    assert sum(after) / 100 <= _RECORDED_SECONDS
    assert reads(sandbox)[-1] <= 2
    assert sandbox.totals()["duplicates"] == sandbox.totals()["foreign_headers"] == 0


def test_callbacks_come_anyhow(
    make: Make, sandbox: Sandbox, start_receiver: Callable[..., Receiver], archive: Path
) -> None:
    """Twice, late, out of order, before the submission's answer or forged: all is made, and bought once."""
    faults = (
        {"fault": "twice"},
        {"fault": "late", "seconds": 2},
        {"fault": "reorder", "at_most_seconds": 2},
        {"fault": "before-answer"},
        {"fault": "forge", "posts": 3},
    )
    sandbox.faults(*[{"kind": "callback", "clip": f"call {n} ", **fault} for n, fault in enumerate(faults)])

    manifest = make(len(faults) + 1, start_receiver(archive))

    assert manifest.counts == {"made": 6}
    assert [rule["triggered"] for rule in sandbox.rules()] == [1] * 5
    assert sandbox.totals()["accepted"] == 6
    assert sandbox.totals()["duplicates"] == 0
    assert reads(sandbox)[-2] <= 2, "but for the one that a forger hints at before it has ended"
    assert "forged" not in "".join(path.read_text() for path in archive.glob("clips/*/*/outcome.json"))


def test_none_ever_comes(
    make: Make, sandbox: Sandbox, start_receiver: Callable[..., Receiver], archive: Path
) -> None:
    """If no callback arrives, one that is overdue tells so, and all clips are made by looking."""
    sandbox.faults({"kind": "callback", "fault": "never"})
    pace = Polling(first_seconds=0.5, every_seconds=0.5, callback_seconds=2, ledger_seconds=0.5)

    manifest = make(8, start_receiver(archive), pace=pace)

    assert manifest.counts == {"made": 8}
    assert sandbox.totals()["callbacks"] == 0
    assert sandbox.totals()["duplicates"] == 0


def test_event_wakes_at_once(
    make: Make,
    sandbox: Sandbox,
    start_receiver: Callable[..., Receiver],
    archive: Path,
    prefect_server: str,
) -> None:
    """A run that looks at nothing by itself is woken by Prefect's event, and asks the API nothing."""
    receiver = start_receiver(archive, env={"PREFECT_API_URL": prefect_server})

    manifest = make(5, receiver, pace=_OF_EVENTS_ONLY)

    assert manifest.counts == {"made": 5}
    assert reads(sandbox) == [1] * 5


def test_ledger_alone_will_do(
    make: Make,
    sandbox: Sandbox,
    start_receiver: Callable[..., Receiver],
    s3: S3,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A receiver without Prefect and a run that share a bucket need nothing else between them."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    bucket = f"s3://{s3.bucket()}"

    manifest = make(3, start_receiver(bucket, env=s3.env), at=bucket)

    assert manifest.counts == {"made": 3}
    assert reads(sandbox) == [1] * 3


def test_forgers_change_nothing(
    make: Make, sandbox: Sandbox, start_receiver: Callable[..., Receiver], archive: Path
) -> None:
    """Ten thousand posts, forged or replayed, are answered and read nothing, write nothing, say nothing."""
    receiver = start_receiver(archive)
    make(5, receiver)
    before, read, books = contents(archive), reads(sandbox), sandbox.books()["generations"]
    tokens = [each["callback_url"].rpartition("/")[2] for each in books]
    forged = [f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}" for token in tokens]
    wrong = [token.replace(".1.", ".2.") for token in tokens]
    body = json.dumps({"code": 200, "data": {"taskId": books[0]["taskId"], "state": "success"}})
    silent, slow = (socket.create_connection(("127.0.0.1", receiver.port), timeout=60) for _ in range(2))
    slow.send(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\nGET /health HTTP/1.1\r\n")

    replayed = Counted(receiver, tokens, body=body, posts=5000)
    refused = Counted(receiver, [*forged, *wrong, "x", secrets.token_urlsafe()], body=body, posts=5000)

    assert replayed.statuses == {200}
    assert refused.statuses == {404}
    assert refused.bodies == {b""}
    with silent, slow:
        assert silent.recv(1) == b"", "who says nothing is hung up on"
        assert b"alive" in _to_the_end(slow), "so is who does not finish what he says"
    assert reads(sandbox) == read
    assert contents(archive) == before


def _to_the_end(connection: socket.socket) -> bytes:
    received = b""
    while True:
        try:
            piece = connection.recv(1000)
        except ConnectionResetError:
            return received
        if not piece:
            return received
        received += piece


def test_replays_are_bounded(
    sandbox: Sandbox, start_receiver: Callable[..., Receiver], make: Make, archive: Path
) -> None:
    """However often somebody who knows its address posts, a generation is read once a second at most."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})
    receiver = start_receiver(archive)
    make(3, receiver, wait=False)
    tokens = [each["callback_url"].rpartition("/")[2] for each in sandbox.books()["generations"]]

    began = time.monotonic()
    Counted(receiver, tokens, body="no envelope", posts=3000)
    took = time.monotonic() - began

    assert reads(sandbox)[0] >= 1
    assert reads(sandbox)[-1] <= took + 2
    assert not list(archive.glob("clips/*/*/outcome.json"))


class Counted:
    """Posts, one after the other over one connection, and what was answered."""

    def __init__(self, receiver: Receiver, tokens: Sequence[str], *, body: str, posts: int) -> None:
        self.statuses: set[int] = set()
        self.bodies: set[bytes] = set()
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=30)
        for number in range(posts):
            connection.request("POST", f"/callbacks/{tokens[number % len(tokens)]}", body)
            answer = connection.getresponse()
            self.statuses.add(answer.status)
            self.bodies.add(answer.read())
        connection.close()


def test_killed_receiver_loses_nothing(
    start_cli: Callable[..., Any],
    start_sandbox: Callable[..., Sandbox],
    start_receiver: Callable[..., Receiver],
    archive: Path,
    tmp_path: Path,
    prefect_server: str,
) -> None:
    """Killed in the middle of a burst and started again, the receiver takes up what it had not finished."""
    sandbox = start_sandbox(speed=8)
    env = {
        "PREFECT_API_URL": prefect_server,
        **sandbox.env,
        "SEEDANCE_CALLBACK_SECRET": CALLBACK_SECRET,
    }
    receiver = start_receiver(archive, env=env)
    clips = write_clips(tmp_path, 30)
    run = start_cli("produce", clips, "--archive", archive, "--callback-url", receiver.url, env=env)

    latest = time.monotonic() + _PATIENCE_SECONDS
    while len(list(archive.glob("clips/*/*/called.json"))) < 10 and time.monotonic() < latest:
        time.sleep(0.01)
    receiver.kill()
    recorded = len(list(archive.glob("clips/*/*/outcome.json")))
    start_receiver(archive, port=receiver.port, env=env)
    said, _ = run.communicate(timeout=_PATIENCE_SECONDS)

    assert run.returncode == 0, said
    assert recorded < 30
    assert len(recorded_after(archive)) == 30
    assert reads(sandbox)[-1] <= 3
    assert sandbox.totals()["duplicates"] == 0


def test_lost_answer_heals_itself(
    make: Make, sandbox: Sandbox, start_receiver: Callable[..., Receiver], archive: Path
) -> None:
    """A submission whose answer was lost is resolved by its callback in the same run, and bought once."""
    sandbox.faults({"kind": "submit", "fault": "accept-then-drop", "clip": "call 0"})

    manifest = make(3, start_receiver(archive), timeout_seconds=1)

    acceptances = [json.loads(path.read_text()) for path in archive.glob("clips/*/*/accepted.json")]
    assert manifest.counts == {"made": 3}
    assert sandbox.totals()["accepted"] == 3
    assert sandbox.totals()["duplicates"] == 0
    assert sum("a callback" in (each["resolved_by"] or "") for each in acceptances) == 1


def test_leaves_in_flight(
    run_cli: Command,
    start_sandbox: Callable[..., Sandbox],
    start_receiver: Callable[..., Receiver],
    archive: Path,
    tmp_path: Path,
    prefect_server: str,
) -> None:
    """With --no-wait a run submits and ends with exit code 4; the same command then archives what ended."""
    sandbox = start_sandbox(speed=20)
    env = {
        "PREFECT_API_URL": prefect_server,
        **sandbox.env,
        "SEEDANCE_CALLBACK_SECRET": CALLBACK_SECRET,
    }
    receiver = start_receiver(archive, env=env)
    command = ("produce", write_clips(tmp_path, 3), "--archive", archive, "--no-wait", "--json")
    options = ("--callback-url", receiver.url)

    first = run_cli(*command, *options, env=env)
    latest = time.monotonic() + _PATIENCE_SECONDS
    while len(recorded_after(archive)) < 3 and time.monotonic() < latest:
        time.sleep(0.1)
    second = run_cli(*command, *options, env=env)

    assert first.returncode == 4, first.stderr
    assert [clip["status"] for clip in json.loads(first.stdout)["clips"]] == ["in flight"] * 3
    assert second.returncode == 0, second.stderr
    assert reads(sandbox) == [1] * 3
    assert sandbox.totals()["accepted"] == 3
    receiver.process.terminate()
    said, _ = receiver.process.communicate(timeout=20)
    told = said + "".join(map(str, contents(archive).values())) + first.stdout + first.stderr
    tokens = [each["callback_url"].rpartition(".")[2] for each in sandbox.books()["generations"]]
    assert not [secret for secret in (*tokens, CALLBACK_SECRET, sandbox.key) if secret in told]
    assert said.count("ended generation") == 3


def test_leaves_no_more_than_permitted(make: Make, sandbox: Sandbox) -> None:
    """A run that does not wait submits as many as the account may have in flight, and no more."""
    sandbox.faults({"kind": "generation", "fault": "never-end", "times": 2})
    options = {"places": 2, "wait": False, "pace": Polling(first_seconds=0)}

    first, second = (make(5, None, **options) for _ in range(2))

    assert first.counts == second.counts == {"in flight": 2, "not submitted": 3}
    assert first.verdict is second.verdict is Verdict.in_flight
    assert "as many generations as the account permits" in (first.clips[-1].reason or "")
    assert sandbox.totals()["accepted"] == 2


def test_bad_address_is_refused(run_cli: Command, archive: Path, tmp_path: Path) -> None:
    """An address to which callbacks would travel unencrypted is refused before anything is spent."""
    env = {
        "SEEDANCE_API_KEY": "key",
        "SEEDANCE_BASE_URL": "https://api.example.com",
        "SEEDANCE_CALLBACK_SECRET": CALLBACK_SECRET,
    }
    options = ("--archive", archive, "--callback-url", "http://hooks.example.com")

    run = run_cli("produce", write_clips(tmp_path, 1), *options, env=env)

    assert run.returncode == 2
    assert "is not https://" in run.stderr
    assert "Starting" not in run.stderr
    assert not list(archive.glob("clips/*"))


def test_ends_when_told(start_receiver: Callable[..., Receiver], archive: Path) -> None:
    """SIGTERM ends the receiver in good order, and it has said nothing of addresses."""
    receiver = start_receiver(archive)

    receiver.process.terminate()
    said, _ = receiver.process.communicate(timeout=20)

    assert receiver.process.returncode == 0
    assert json.loads(said.splitlines()[-1])["event"] == "ended"
