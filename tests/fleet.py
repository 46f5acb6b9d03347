"""A fleet on one machine: a server with PostgreSQL, workers, and a sandbox with an account's limits."""

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from prefect_seedance import SeedanceCredentials
from prefect_seedance.api.account import account_name
from prefect_seedance.production.catalog_options import STORYBOARD_DEPLOYMENT
from tests.families import family, kill_family
from tests.postgres import serving_postgres
from tests.processes import (
    BIN,
    Sandbox,
    environment,
    forked,
    forking,
    prefect_client,
    running,
    sandboxes,
    serving_prefect,
)

POOL = "fleet"
_BLOCK = "studio"
_MODEL = "seedance-1-5-quick"
_USUAL_SECONDS = (40.0, 60.0)
"""Time of a generation at the API's own speed."""

_COMMAND_SECONDS = 600.0


@dataclass(frozen=True)
class Worker:
    """A worker as a process, with the flow runs that it executes.

    Attributes:
        name: Its name on the server.
        log: What it and its flow runs print.
    """

    name: str
    process: subprocess.Popen[str]
    log: Path

    @property
    def runs(self) -> int:
        """How many flow runs it has started; of two workers that take one run, the server admits one."""
        return len(re.findall(r"submitted to infrastructure", self.log.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Fleet:
    """A server, an account and an archive.

    Attributes:
        home: Folder of everything.
        url: Of the Prefect API.
        slots: The account's generations in flight.
        requests_per_minute: The account's.
    """

    home: Path
    url: str
    sandbox: Sandbox
    slots: int
    requests_per_minute: int

    @property
    def archive(self) -> Path:
        """The folder of all clips."""
        return self.home / "archive"

    @property
    def limit_name(self) -> str:
        """Name of the global concurrency limit of the account."""
        return account_name(self.sandbox.url, self.sandbox.key)

    def env(self, name: str) -> dict[str, str]:
        """Return the environment of a process; each has its own folder for Prefect."""
        return environment(
            self.home / name,
            PREFECT_API_URL=self.url,
            PREFECT_WORKER_QUERY_SECONDS="1",
            PREFECT_LOGGING_TO_API_ENABLED="false",
            SEEDANCE_MODELS=str(self.home / "models.yaml"),
            NO_COLOR="1",
        )

    def kill(self, worker: Worker, *, in_flight: int) -> bool:
        """Kill a worker with all its flow runs, as when its machine dies, and return whether it was killed.

        It is killed if it has bought at least so many generations whose end is not recorded, and no answer
        to a submission is on its way: without callbacks, only a person knows what has become of that.
        """
        members = set(family(worker.process.pid))

        def is_time() -> bool:
            intents = [path for path in self.archive.glob("clips/*/*/intent.json") if _asker(path) in members]
            records = [{path.name for path in intent.parent.iterdir()} for intent in intents]
            open_attempts = [names for names in records if "outcome.json" not in names]
            return len(open_attempts) >= in_flight and all("accepted.json" in each for each in open_attempts)

        if is_killed := kill_family(worker.process.pid, if_true=is_time):
            worker.process.wait()
        return is_killed

    def archived(self) -> int:
        """Count the archived clips."""
        return len(list(self.archive.glob("clips/*/clip.json")))

    def leased(self) -> int:
        """Return how many slots of the account are leased."""
        with prefect_client(self.url) as api:
            limit = api.get(f"/v2/concurrency_limits/{self.limit_name}").raise_for_status().json()
        return int(limit["active_slots"])

    def child_runs(self) -> list[dict[str, Any]]:
        """Return all flow runs of the deployment that makes one storyboard."""
        wanted = {"limit": 200, "deployments": {"name": {"any_": [STORYBOARD_DEPLOYMENT.split("/")[1]]}}}
        with prefect_client(self.url) as api:
            return list(api.post("/flow_runs/filter", json=wanted).raise_for_status().json())

    def command(self, *arguments: object) -> dict[str, Any]:
        """Run `prefect-seedance` with ``--json`` to its end, and return its result."""
        words = (BIN / "prefect-seedance", *arguments, "--json")
        ran = forked(*words, env=self.env("shell"), cwd=self.home, seconds=_COMMAND_SECONDS)
        assert ran.stdout, ran.stderr
        return dict(json.loads(ran.stdout))

    @contextlib.contextmanager
    def making(self, catalog: Path, *options: object) -> Iterator[subprocess.Popen[str]]:
        """Make a catalogue in another process, which prints its manifest."""
        words = ("catalog", catalog, "--archive", self.archive, "--credentials", _BLOCK, *options, "--json")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with forking(
            BIN / "prefect-seedance", *words, env=self.env("shell"), cwd=self.home, **pipes
        ) as process:
            yield process

    @contextlib.contextmanager
    def worker(self, name: str, *, runs: int) -> Iterator[Worker]:
        """Run a worker, with a bound of flow runs at a time."""
        home = self.home / name
        home.mkdir()
        words = ("worker", "start", "--pool", POOL, "--name", name, "--limit", runs)
        with (home / "worker.log").open("w") as log:
            output = {"stdout": log, "stderr": subprocess.STDOUT}
            with running(BIN / "prefect", *words, env=self.env(name), cwd=home, **output) as process:
                try:
                    yield Worker(name, process, Path(log.name))
                finally:
                    kill_family(process.pid)  # its flow runs are not in its session

    def deploy(self, *, runs: int) -> None:
        """Deploy the flows, with a bound of storyboards at a time."""
        credentials = SeedanceCredentials(
            api_key=SecretStr(self.sandbox.key),
            base_url=self.sandbox.url,
            model=_MODEL,
            generations_in_flight=self.slots,
            requests_per_minute=self.requests_per_minute,
        )
        with temporary_settings({PREFECT_API_URL: self.url}):
            credentials.save(_BLOCK, overwrite=True)
        options = ("--pool", POOL, "--credentials", _BLOCK, "--at-a-time", runs)
        self.command("deploy", *options, "--archive", self.archive, "--directory", self.home)


def _asker(intent: Path) -> int:
    """Return the id of the process that made a submission."""
    found = re.search(r"process (\d+)", json.loads(intent.read_text(encoding="utf-8"))["asked_by"])
    return int(found[1]) if found else 0


@contextlib.contextmanager
def fleets(
    home: Path, *, slots: int, requests_per_minute: int, speed: float = 1, **options: object
) -> Iterator[Fleet]:
    """Run a server and a sandbox.

    Args:
        home: An empty folder.
        slots: The account's generations in flight.
        requests_per_minute: The account's.
        speed: Of generations, as a multiple of the API's.
        options: More options of the sandbox.
    """
    for name in ("server", "shell"):
        (home / name).mkdir()
    models = home / "models.yaml"
    seconds = [each / speed for each in _USUAL_SECONDS]
    quick = {"like": "seedance-1-5-pro", "source": "tests", "read_on": "2026-11-27"}
    models.write_text(yaml.safe_dump({_MODEL: {**quick, "generation_seconds": {4: seconds}}}))
    limits = {"max_in_flight": slots, "requests_per_minute": requests_per_minute}
    with (
        serving_postgres() as database,
        serving_prefect(home / "server", PREFECT_SERVER_DATABASE_CONNECTION_URL=database) as url,
        sandboxes(home) as start,
    ):
        sandbox = start(speed=speed, models=models, **{"frame_rate": 1, **limits, **options})
        yield Fleet(home, url, sandbox, slots, requests_per_minute)


def write_catalog(folder: Path, *, storyboards: int, clips: int) -> Path:
    """Write lists of short clips, and return their folder."""
    folder.mkdir()
    for number in range(storyboards):
        content = {
            "title": f"Episode {number:03}",
            "defaults": {"resolution": "480p", "aspect_ratio": "1:1", "fixed_lens": True},  # cheap to render
            "clips": [{"prompt": f"bell {clip} of episode {number} rings"} for clip in range(clips)],
        }
        (folder / f"{number:03}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder
