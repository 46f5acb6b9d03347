"""The command that runs the callback receiver."""

import asyncio
import json
import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.cli.callbacks import _Output
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip
from tests.processes import CALLBACK_SECRET, Receiver
from tests.records import FAILED, record_in_flight, record_outcome


@pytest.fixture
def _secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variables = {
        "SEEDANCE_API_KEY": "sd-key",
        "SEEDANCE_CALLBACK_SECRET": CALLBACK_SECRET,
        "PREFECT_HOME": str(tmp_path),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_serves_until_signal(start_receiver: Callable[..., Receiver], archive: Path) -> None:
    """The receiver prints its URL as soon as it listens, and at SIGTERM that it ended."""
    receiver = start_receiver(archive)

    receiver.process.send_signal(signal.SIGTERM)
    out, _ = receiver.process.communicate(timeout=30)

    assert receiver.url.startswith("http://127.0.0.1:")
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["ended"]
    assert receiver.process.returncode == 0


@pytest.mark.usefixtures("_secrets")
def test_port_in_use_is_reported(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that another process uses is an error with a remedy."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        assert main(["callbacks", "--archive", str(archive), "--port", str(port)]) == 2

    assert f"Cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


@pytest.mark.usefixtures("_secrets")
def test_needs_secret(
    archive: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a secret the receiver does not start."""
    monkeypatch.delenv("SEEDANCE_CALLBACK_SECRET")

    assert main(["callbacks", "--archive", str(archive), "--port", "0"]) == 2
    assert "SEEDANCE_CALLBACK_SECRET" in capsys.readouterr().err


def test_prints_outcome(
    clips: tuple[PlannedClip, ...], archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An outcome is one line, for programs with all facts; an attempt without one prints nothing."""
    store = Store.open(str(archive))
    attempt = asyncio.run(record_outcome(store, clips[0], FAILED))
    open_attempt = asyncio.run(record_in_flight(store, clips[1]))

    _Output(json=False).outcome(attempt)
    _Output(json=True).outcome(attempt)
    _Output(json=True).outcome(open_attempt)

    text, line = capsys.readouterr().out.splitlines()
    assert text.split("  ", 1)[1] == "dawn → noon  failed: PROCESSING_TIMEOUT  (task_1)"
    printed = json.loads(line)
    assert (printed["event"], printed["clip"]) == ("ended generation", clips[0].fingerprint)
    assert (printed["result"], printed["code"]) == ("failed", "PROCESSING_TIMEOUT")


def test_prints_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    """A warning of the receiver is a line that begins with the word, and is not logged twice."""
    log = logging.getLogger("prefect_seedance.receiver")

    with _Output(json=False).warnings():
        log.warning("the archive does not answer")
        log.info("a callback arrived")

    assert [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()] == [
        "warning: the archive does not answer"
    ]
    assert log.propagate
