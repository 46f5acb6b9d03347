"""The sandbox as a command."""

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from prefect_seedance.sandbox.__main__ import app
from tests.sandbox.conftest import KEY, SUBMIT, TIMEOUT_SECONDS, address, start, text_input


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_cleanly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """A signal stops a sandbox long before it is finished, without output and without temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    headers = {"Authorization": f"Bearer {KEY}"}
    with start("--frame-rate", 60, "--speed", 1000) as process:
        url = address(process)
        for prompt in ("one", "two", "three"):  # rendering takes longer than the timeout
            requested = text_input(prompt=prompt, duration=12, resolution="720p")
            httpx.post(url + SUBMIT, json={"input": requested}, headers=headers).raise_for_status()
        httpx.put(f"{url}/sandbox/faults", json={"rules": [{"kind": "submit", "fault": "hang"}]})
        hanging = ThreadPoolExecutor(1).submit(
            httpx.post, url + SUBMIT, json={"input": text_input()}, headers=headers
        )
        with pytest.raises(TimeoutError):
            hanging.result(timeout=0.2)
        busy = leftovers(tmp_path)

        process.send_signal(number)
        output = process.communicate(timeout=TIMEOUT_SECONDS)

    assert output == ("", "")
    assert process.returncode == 0
    assert isinstance(hanging.exception(), httpx.TransportError)
    assert len(busy) == 1, busy
    assert leftovers(tmp_path) == []


def failure(*options: object) -> str:
    """Return the error with which the command exits."""
    with pytest.raises(SystemExit) as ended:
        app([str(option) for option in options])
    assert ended.value.code != 0
    return str(ended.value)


def test_used_port_explained() -> None:
    """A port in use is reported in one line, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        output = failure("--port", other.getsockname()[1])

    assert output.startswith("The sandbox cannot start:")
    assert "in use" in output


def test_bad_plan_explained(tmp_path: Path) -> None:
    """An invalid plan is reported in one line that names the fault."""
    (tmp_path / "plan.yaml").write_text("rules:\n- kind: submit\n  fault: explode\n")

    output = failure("--port", 0, "--faults", tmp_path / "plan.yaml")

    assert output.startswith("The sandbox cannot start: rule 1:")
    assert "explode" in output


@pytest.mark.parametrize(
    ("option", "value"), [("--speed", 0), ("--serve", "/nowhere"), ("--frame-rate", "x")]
)
def test_bad_option_explained(capsys: pytest.CaptureFixture[str], option: str, value: object) -> None:
    """The error names the invalid option."""
    failure(option, value)

    assert option.strip("-").replace("-", "_") in capsys.readouterr().err.replace("-", "_")


def test_plan_active_from_start(tmp_path: Path) -> None:
    """A plan given as a file is active from the start."""
    (tmp_path / "plan.yaml").write_text("rules:\n- {kind: submit, fault: answer, status: 503, times: 1}\n")
    headers = {"Authorization": f"Bearer {KEY}"}

    with start("--faults", tmp_path / "plan.yaml") as process:
        url = address(process)
        codes = [
            httpx.post(url + SUBMIT, json={"input": text_input()}, headers=headers).status_code
            for _ in range(2)
        ]
        process.terminate()

    assert codes == [503, 200]


def totals(url: httpx.URL) -> dict[str, int]:
    return dict(httpx.get(f"{url}/sandbox/books").json()["totals"])


def test_aborted_request_ignored() -> None:
    """A request that is aborted while it is sent starts nothing and is not logged."""
    with start() as process:
        url = httpx.URL(address(process))
        with socket.create_connection((url.host, url.port or 0)) as aborted:
            aborted.sendall(
                f"POST {SUBMIT} HTTP/1.1\r\nHost: sandbox\r\nContent-Length: 100\r\n\r\n{{".encode()
            )
            latest = time.monotonic() + TIMEOUT_SECONDS
            while not totals(url)["submits_received"] and time.monotonic() < latest:
                time.sleep(0.01)
        found = totals(url)
        process.terminate()
        output = process.communicate(timeout=TIMEOUT_SECONDS)

    assert output == ("", "")
    assert (found["submits_received"], found["accepted"]) == (1, 0)
