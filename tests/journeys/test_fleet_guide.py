"""The commands of `docs/how-to/fleet.md`, on a server with PostgreSQL, with a bucket and the sandbox."""

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.families import kill_family
from tests.flows.conftest import eventually
from tests.pages import ROOT, blocks
from tests.postgres import serving_postgres
from tests.processes import BIN, S3, Sandbox, environment, free_port, prefect_client, running

_PAGE = ROOT / "docs/how-to/fleet.md"
_SECONDS = 300.0

_SERVES = ("prefect server start", "prefect worker start")
_NOT_EXECUTED = ("pip install",)


@dataclass(frozen=True)
class Reader:
    """A reader of the page, who runs its commands in one shell.

    Attributes:
        env: The shell's variables.
        names: The page's names of servers and buckets, with those to use.
        stack: Stops what runs on.
    """

    folder: Path
    env: dict[str, str]
    names: dict[str, str]
    stack: ExitStack

    def own(self, text: str) -> str:
        """Replace the names of the page."""
        for theirs, mine in self.names.items():
            text = text.replace(theirs, mine)
        return text

    def follow(self, line: str) -> str:
        """Carry out a line of the page, and return the output of a command that ends."""
        command, (verb, _, rest) = self.own(line), self.own(line).partition(" ")
        if verb == "export":
            name, _, value = rest.partition("=")
            self.env[name] = value
        elif verb == "unset":
            del self.env[rest]
        elif line.startswith(_SERVES):
            self._serve(command)
        elif not line.startswith(_NOT_EXECUTED):
            return self._run(command)
        return ""

    def _serve(self, command: str) -> None:
        words = ("bash", "-euc", f"exec {command}")
        log = self.stack.enter_context((self.folder / "services.log").open("a"))
        output = {"stdout": log, "stderr": subprocess.STDOUT}
        process = self.stack.enter_context(running(*words, env=self.env, cwd=self.folder, **output))
        self.stack.callback(kill_family, process.pid)
        if "server" in command:
            assert eventually(self._is_served, seconds=_SECONDS)

    def _is_served(self) -> bool:
        try:
            return httpx.get(f"{self.env['PREFECT_UI_API_URL']}/health").is_success
        except httpx.TransportError:
            return False

    def _run(self, command: str) -> str:
        ran = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}"
        return ran.stdout


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Sandbox]) -> Sandbox:
    """Run a sandbox whose generations end before runs poll."""
    return start_sandbox(speed=4)


@pytest.fixture
def bucket(s3: S3) -> str:
    """Return a bucket with two storyboards."""
    name = s3.bucket()
    with contextlib.closing(s3.client()) as client:
        for title in ("Dawn", "Dusk"):
            clips = {"title": title, "clips": [{"prompt": f"a bell rings at {title}"}]}
            client.put_object(Bucket=name, Key=f"season-1/{title}.json", Body=json.dumps(clips).encode())
    return name


@pytest.fixture
def reader(sandbox: Sandbox, s3: S3, bucket: str, tmp_path: Path) -> Iterator[Reader]:
    """Return a reader with a database, a bucket and an account, in a folder with the page's files."""
    port = free_port()
    mine = {"PATH": f"{BIN}:{os.environ['PATH']}", "PREFECT_WORKER_QUERY_SECONDS": "1", "COLUMNS": "200"}
    env = environment(tmp_path / "prefect", SEEDANCE_BASE_URL=sandbox.url, **s3.env, **mine)
    with serving_postgres() as database, ExitStack() as stack:
        names = {
            "postgresql+asyncpg://prefect:PASSWORD@db.example.com/prefect": database,
            "http://prefect.example.com:4200": f"http://127.0.0.1:{port}",
            "--host 0.0.0.0": f"--host 127.0.0.1 --port {port}",
            "s3://studio/": f"s3://{bucket}/",
            "…": sandbox.key,
        }
        reader = Reader(tmp_path, env, names, stack)
        for block in blocks(_PAGE, "python"):
            (tmp_path / block.title).write_text(reader.own(block.text), encoding="utf-8")
        yield reader


def _schedules(server: str) -> dict[str, list[dict[str, Any]]]:
    with prefect_client(server) as api:
        deployments = api.post("/deployments/filter", json={}).raise_for_status().json()
    return {each["name"]: [one for one in each["schedules"] if one["active"]] for each in deployments}


def test_guide_leads_to_a_fleet(reader: Reader, sandbox: Sandbox, s3: S3, bucket: str) -> None:
    """The page's commands, in order, lead to a catalogue that is made once, with active schedules."""
    lines = [line for block in blocks(_PAGE, "bash") for line in block.text.splitlines() if line]

    output = {line: reader.follow(line) for line in lines}

    catalogs = [text for line, text in output.items() if line.startswith("prefect-seedance catalog")]
    keys = s3.contents(bucket).keys()
    active = _schedules(reader.env["PREFECT_API_URL"])
    assert ["season-1: 2 not run" in catalogs[0], "season-1: 2 made" in catalogs[1]] == [True, True]
    assert sum(key.endswith("clip.json") for key in keys) == 2
    assert "films/catalogs/season-1/index.html" in keys
    assert (sandbox.totals()["accepted"], sandbox.totals()["duplicates"]) == (2, 0)
    assert {name for name, schedules in active.items() if schedules} == {"catalog", "rescue"}
    assert active["catalog"][0]["parameters"]["catalog"] == f"s3://{bucket}/season-1/"
