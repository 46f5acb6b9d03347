"""Callbacks between real processes: the sandbox, the receiver, Prefect's server and runs."""

import asyncio
import gc
import http.client
import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from pydantic import SecretStr

from prefect_seedance import ClipList, ClipSpec, Manifest, SeedanceCredentials, Waiting, produce
from prefect_seedance.report.verdict import Verdict
from tests.processes import CALLBACK_SECRET, S3, Command, Receiver, Sandbox, contents_of

# Prefect's own clients leave sockets open in any flow.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

_MANY = 40
_WAIT_SECONDS = 90.0

_CALLBACKS_ONLY = Waiting(
    deadline_seconds=_WAIT_SECONDS,
    first_poll_seconds=0.5,
    poll_every_seconds=0.5,
    callback_grace_seconds=600,
    read_ledger_every_seconds=0.5,
)
"""Settings of a run that does not poll the API before a callback."""

_EVENTS_ONLY = Waiting(deadline_seconds=_WAIT_SECONDS, first_poll_seconds=600)
"""Settings of a run that does not read the ledger, either, unless an event wakes it."""

_RECORDED_SECONDS = 20.0
"""Maximum mean time from a generation's end to its record: a third of the time after which a run polls.
On an idle machine it is below 0.3 s. Source: benchmarks/callbacks.py."""


@pytest.fixture(autouse=True)
def _prefect(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run this process's flows on the tests' server, and collect the sockets that Prefect leaves open."""
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
    """Return a function that makes clips in a flow of this process, with callbacks to a receiver."""

    def made(
        number: int,
        receiver: Receiver | None,
        *,
        at: object = archive,
        places: int = 1000,
        waiting: Waiting = _CALLBACKS_ONLY,
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
        async def calls() -> Manifest:
            return await produce(
                clips,
                archive=str(at),
                credentials=account,
                waiting=waiting.model_copy(update={"callback_url": receiver.url if receiver else ""}),
                on_incomplete="return",
            )

        return asyncio.run(calls())

    return made


def write_clips(folder: Path, number: int) -> Path:
    """Write a list of clips and return the file."""
    clips = "".join(f"  - prompt: call {n} rings\n" for n in range(number))
    (folder / "calls.yaml").write_text(f"title: Calls\nclips:\n{clips}", encoding="utf-8")
    return folder / "calls.yaml"


def reads(sandbox: Sandbox) -> Sequence[int]:
    """Return the number of status reads of each generation, ascending."""
    return sorted(each["status_reads"] for each in sandbox.books()["generations"])


def recorded_after(archive: Path) -> Sequence[float]:
    """Return the seconds from each generation's end to the record of its outcome."""
    found = [(path, json.loads(path.read_text())) for path in archive.glob("clips/*/*/outcome.json")]
    return [
        path.stat().st_mtime - outcome["generation"]["answer"]["completeTime"] / 1000
        for path, outcome in found
    ]


def test_many_clips(
    start_cli: Callable[..., Any],
    start_sandbox: Callable[..., Sandbox],
    start_receiver: Callable[..., Receiver],
    archive: Path,
    tmp_path: Path,
    prefect_server: str,
) -> None:
    """Each of many clips is recorded soon after its end, with at most two status reads."""
    sandbox = start_sandbox(speed=8, frame_rate=1)
    env = {
        "PREFECT_API_URL": prefect_server,
        **sandbox.env,
        "SEEDANCE_CALLBACK_SECRET": CALLBACK_SECRET,
    }
    receiver = start_receiver(archive, env=env)
    options = ("--archive", archive, "--callback-url", receiver.url)

    run = start_cli("produce", write_clips(tmp_path, _MANY), *options, env=env)
    out, err = run.communicate(timeout=3 * _WAIT_SECONDS)

    after = recorded_after(archive)
    assert run.returncode == 0, err
    assert f"{_MANY} made" in out
    assert len(after) == _MANY
    assert sum(after) / _MANY <= _RECORDED_SECONDS
    assert reads(sandbox)[-1] <= 2
    assert sandbox.totals()["duplicates"] == sandbox.totals()["foreign_headers"] == 0


def test_faulty_callbacks(
    make: Make, sandbox: Sandbox, start_receiver: Callable[..., Receiver], archive: Path
) -> None:
    """Duplicate, late, reordered, early and forged callbacks: all clips are made and bought once."""
    faults: tuple[dict[str, object], ...] = (
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
    assert reads(sandbox)[-2] <= 2, "except for the clip with forged callbacks before its end"
    assert "forged" not in "".join(path.read_text() for path in archive.glob("clips/*/*/outcome.json"))


def test_no_callbacks(
    make: Make, sandbox: Sandbox, start_receiver: Callable[..., Receiver], archive: Path
) -> None:
    """Without callbacks, the run polls overdue clips and makes them all."""
    sandbox.faults({"kind": "callback", "fault": "never"})
    waiting = _CALLBACKS_ONLY.model_copy(update={"callback_grace_seconds": 2.0})

    manifest = make(8, start_receiver(archive), waiting=waiting)

    assert manifest.counts == {"made": 8}
    assert sandbox.totals()["callbacks"] == 0
    assert sandbox.totals()["duplicates"] == 0


def test_event_wakes_run(
    make: Make,
    sandbox: Sandbox,
    start_receiver: Callable[..., Receiver],
    archive: Path,
    prefect_server: str,
) -> None:
    """An event from Prefect wakes a run that does not poll."""
    receiver = start_receiver(archive, env={"PREFECT_API_URL": prefect_server})

    manifest = make(5, receiver, waiting=_EVENTS_ONLY)

    assert manifest.counts == {"made": 5}
    assert reads(sandbox) == [1] * 5


def test_shared_ledger_suffices(
    make: Make,
    sandbox: Sandbox,
    start_receiver: Callable[..., Receiver],
    s3: S3,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A receiver without Prefect and a run need a shared bucket only."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    bucket = f"s3://{s3.bucket()}"

    manifest = make(3, start_receiver(bucket, env=s3.env), at=bucket)

    assert manifest.counts == {"made": 3}
    assert reads(sandbox) == [1] * 3


def test_forged_callbacks_are_harmless(
    make: Make, sandbox: Sandbox, start_receiver: Callable[..., Receiver], archive: Path
) -> None:
    """Ten thousand forged or replayed posts cause no read and no record."""
    receiver = start_receiver(archive)
    make(5, receiver)
    before, read, books = contents_of(archive), reads(sandbox), sandbox.books()["generations"]
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
        assert silent.recv(1) == b"", "the receiver closes a silent connection"
        assert b"alive" in _to_the_end(slow), "and one with an unfinished request"
    assert reads(sandbox) == read
    assert contents_of(archive) == before


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
    """Repeated callbacks cause at most one status read a second for each generation."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})
    receiver = start_receiver(archive)
    make(3, receiver, waiting=_CALLBACKS_ONLY.model_copy(update={"wait": False}))
    tokens = [each["callback_url"].rpartition("/")[2] for each in sandbox.books()["generations"]]

    began = time.monotonic()
    Counted(receiver, tokens, body="no envelope", posts=3000)
    took = time.monotonic() - began

    assert reads(sandbox)[0] >= 1
    assert reads(sandbox)[-1] <= took + 2
    assert not list(archive.glob("clips/*/*/outcome.json"))


class Counted:
    """Posts over one connection, with the statuses and bodies of the responses."""

    def __init__(self, receiver: Receiver, tokens: Sequence[str], *, body: str, posts: int) -> None:
        self.statuses: set[int] = set()
        self.bodies: set[bytes] = set()
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=30)
        for number in range(posts):
            connection.request("POST", f"/callbacks/{tokens[number % len(tokens)]}", body)
            response = connection.getresponse()
            self.statuses.add(response.status)
            self.bodies.add(response.read())
        connection.close()


def test_killed_receiver_loses_nothing(
    start_cli: Callable[..., Any],
    start_sandbox: Callable[..., Sandbox],
    start_receiver: Callable[..., Receiver],
    archive: Path,
    tmp_path: Path,
    prefect_server: str,
) -> None:
    """A receiver killed during a burst continues the unfinished callbacks after its restart."""
    sandbox = start_sandbox(speed=8)
    env = {
        "PREFECT_API_URL": prefect_server,
        **sandbox.env,
        "SEEDANCE_CALLBACK_SECRET": CALLBACK_SECRET,
    }
    receiver = start_receiver(archive, env=env)
    clips = write_clips(tmp_path, 30)
    run = start_cli("produce", clips, "--archive", archive, "--callback-url", receiver.url, env=env)

    latest = time.monotonic() + _WAIT_SECONDS
    while len(list(archive.glob("clips/*/*/called.json"))) < 10 and time.monotonic() < latest:
        time.sleep(0.01)
    receiver.kill()
    recorded = len(list(archive.glob("clips/*/*/outcome.json")))
    start_receiver(archive, port=receiver.port, env=env)
    said, _ = run.communicate(timeout=_WAIT_SECONDS)

    assert run.returncode == 0, said
    assert recorded < 30
    assert len(recorded_after(archive)) == 30
    assert reads(sandbox)[-1] <= 3
    assert sandbox.totals()["duplicates"] == 0


def test_lost_response_is_resolved(
    make: Make, sandbox: Sandbox, start_receiver: Callable[..., Receiver], archive: Path
) -> None:
    """A callback resolves a submission without response in the same run; the clip is bought once."""
    sandbox.faults({"kind": "submit", "fault": "accept-then-drop", "clip": "call 0"})

    manifest = make(
        3, start_receiver(archive), waiting=_CALLBACKS_ONLY.model_copy(update={"timeout_seconds": 1.0})
    )

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
    """With --no-wait a run submits and exits with 4; the same command later archives the ended clips."""
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
    latest = time.monotonic() + _WAIT_SECONDS
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
    output = said + "".join(map(str, contents_of(archive).values())) + first.stdout + first.stderr
    tokens = [each["callback_url"].rpartition(".")[2] for each in sandbox.books()["generations"]]
    assert not [secret for secret in (*tokens, CALLBACK_SECRET, sandbox.key) if secret in output]
    assert said.count("ended generation") == 3


def test_no_wait_respects_limit(make: Make, sandbox: Sandbox) -> None:
    """A run that does not wait submits no more clips than the account allows in flight."""
    sandbox.faults({"kind": "generation", "fault": "never-end", "times": 2})
    options = {
        "places": 2,
        "waiting": _CALLBACKS_ONLY.model_copy(update={"wait": False, "first_poll_seconds": 0.0}),
    }

    first, second = (make(5, None, **options) for _ in range(2))

    assert first.counts == second.counts == {"in flight": 2, "not submitted": 3}
    assert first.verdict is second.verdict is Verdict.in_flight
    assert "the account's limit of concurrent generations" in (first.clips[-1].reason or "")
    assert sandbox.totals()["accepted"] == 2


def test_insecure_url_is_refused(run_cli: Command, archive: Path, tmp_path: Path) -> None:
    """An unencrypted callback URL is refused before anything is spent."""
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


def test_sigterm_ends_receiver(start_receiver: Callable[..., Receiver], archive: Path) -> None:
    """SIGTERM ends the receiver, which then reports its end."""
    receiver = start_receiver(archive)

    receiver.process.terminate()
    said, _ = receiver.process.communicate(timeout=20)

    assert receiver.process.returncode == 0
    assert json.loads(said.splitlines()[-1])["event"] == "ended"
