"""The environment of one worker: a sandbox and the runs of the command."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.campaign.chance import Moment
from tests.processes import BIN, Sandbox, environment, running

_TAG = "SEEDANCE_CAMPAIGN"
"""Inherited by every process that a run starts, so that all of them can be found."""

_POLL_SECONDS = 0.02
_FILE_POLL_SECONDS = 0.002
"""Files are cheap to poll, and some follow others within milliseconds."""

_RUN_SECONDS = 120.0
"""A run has a deadline of 40 s; a run that takes longer than this hangs."""

_EXIT_SECONDS = 15.0
"""Time for a stopped run, or for the children of a killed one, to exit; it takes 2 s on an idle machine."""


class ViolationError(Exception):
    """A rule of the campaign is violated."""


class StoppedError(Exception):
    """The campaign was stopped early."""


@dataclass(frozen=True)
class Production:
    """The files of one production.

    Attributes:
        name: Name of its folder in the archive.
        images_url: Base URL of the images in its archive.
    """

    name: str
    clip_list: Path
    archive: Path
    images_url: str

    def files(self, pattern: str) -> list[Path]:
        """Return the files of its clips that match a pattern."""
        return list(self.archive.glob(f"clips/*/{pattern}"))

    def count(self, name: str) -> int:
        """Count the clips that have a file of this name, without pathlib's overhead."""
        try:
            clips = list(os.scandir(self.archive / "clips"))
        except FileNotFoundError:
            return 0
        return sum(os.path.exists(f"{clip.path}/{name}") for clip in clips)  # noqa: PTH110 -- ten times as fast

    def open_intents(self) -> list[Mapping[str, Any]]:
        """Return the intents without acceptance and without outcome."""
        return [
            json.loads(path.read_text(encoding="utf-8"))
            for path in self.files("attempt-*/intent.json")
            if not any((path.parent / record).exists() for record in ("accepted.json", "outcome.json"))
        ]

    @property
    def manifest(self) -> Path:
        """The path of its manifest."""
        return self.archive / "productions" / self.name / "manifest.json"


@dataclass(frozen=True)
class Run:
    """One run of the command.

    Attributes:
        stopped: Whether it received SIGTERM.
        manifest: Its manifest; None if it was killed or printed none.
        output: Its error output.
    """

    killed: bool
    stopped: bool
    exit_code: int
    manifest: Mapping[str, Any] | None
    output: str

    @property
    def entries(self) -> Sequence[Mapping[str, Any]]:
        """The manifest entry of each clip."""
        return self.manifest["clips"] if self.manifest else ()


@dataclass(frozen=True)
class Stage:
    """The environment of one worker.

    Attributes:
        prefect_url: API URL of the Prefect server; empty to run without Prefect.
        over: Set when all workers must stop.
        http: Client of the sandbox; opening one for each poll would take most of the CPU time.
    """

    folder: Path
    sandbox: Sandbox
    prefect_url: str
    over: threading.Event
    http: httpx.Client

    @property
    def temporary_folder(self) -> Path:
        """The folder for temporary files of runs."""
        return self.folder / "spool"

    @property
    def tag(self) -> str:
        """The mark of all processes that belong to this worker."""
        return f"{os.getpid()}-{self.folder.name}"

    @property
    def env(self) -> dict[str, str]:
        """The environment variables of the command."""
        return environment(
            self.folder / "prefect",
            PREFECT_API_URL=self.prefect_url,
            PREFECT_LOGGING_TO_API_ENABLED="false",  # unused here, and costly for the server
            TMPDIR=str(self.temporary_folder),
            **{_TAG: self.tag},
            **self.sandbox.env,
        )

    def run(self, production: Production, *, moment: Moment | None = None, rivals: int = 0) -> Sequence[Run]:
        """Run the command, with rivals if requested, and kill all of them at the given moment.

        Raises:
            ViolationError: A run does not end, or leaves a process behind.
            StoppedError: The campaign was stopped.
        """
        with contextlib.ExitStack() as stack:
            processes = [
                stack.enter_context(self._running(production, number=number)) for number in range(1 + rivals)
            ]
            stopped_runs = self._wait(processes, production, moment)
        self._require_no_orphans()
        stopped = stopped_runs and moment is not None and moment.is_graceful
        return [
            self._ended(process, stopped=stopped, number=number) for number, process in enumerate(processes)
        ]

    @contextlib.contextmanager
    def _running(self, production: Production, *, number: int) -> Iterator[subprocess.Popen[str]]:
        times = ("--first-poll", "0.2", "--poll-every", "0.2", "--timeout", "1.5", "--deadline", "40")
        arguments = ("produce", production.clip_list, "--archive", production.archive, "--json", *times)
        command = (BIN / "prefect-seedance", *arguments, "--images-url", production.images_url)
        with (
            self._output_file(number, "out").open("w") as out,
            self._output_file(number, "err").open("w") as err,
        ):
            files = {"stdout": out, "stderr": err}
            with running(*command, env=self.env, cwd=self.folder, **files) as process:
                yield process

    def _ended(self, process: subprocess.Popen[str], *, stopped: bool, number: int) -> Run:
        out, err = (self._output_file(number, where).read_text(encoding="utf-8") for where in ("out", "err"))
        return Run(
            killed=process.returncode == -signal.SIGKILL,
            stopped=stopped,
            exit_code=process.returncode,
            manifest=_manifest(out),
            output=err or out,
        )

    def _output_file(self, number: int, where: str) -> Path:
        return self.folder / f"run-{number}.{where}"

    def _wait(
        self, processes: Sequence[subprocess.Popen[str]], production: Production, moment: Moment | None
    ) -> bool:
        """Wait until all runs end, and return whether they were killed or stopped."""
        stopped_runs = False
        started = time.monotonic()
        goal = self._measure(moment, production, started) + moment.growth if moment else float("inf")
        while any(process.poll() is None for process in processes):
            if self.over.is_set():
                raise StoppedError
            if time.monotonic() - started > _RUN_SECONDS:
                raise ViolationError(f"the run did not end within {_RUN_SECONDS:.0f} s")
            if moment and self._measure(moment, production, started) >= goal:
                time.sleep(moment.delay_seconds)
                _end(processes, signal.SIGTERM if moment.is_graceful else signal.SIGKILL)
                stopped_runs = True
            is_file = moment and moment.trigger.endswith((".json", ".mp4"))
            time.sleep(_FILE_POLL_SECONDS if is_file else _POLL_SECONDS)
        return stopped_runs

    def _measure(self, moment: Moment, production: Production, started: float) -> float:
        match moment.trigger:
            case "time":
                return time.monotonic() - started
            case "accepted":
                return float(self.books()["totals"]["accepted"])
            case "manifest.json":
                return production.manifest.stat().st_mtime_ns if production.manifest.exists() else 0
            case "clip-*.mp4" | "clip.json":
                return production.count(moment.trigger)
        return production.count(f"attempt-001/{moment.trigger}")

    def _require_no_orphans(self) -> None:
        latest = time.monotonic() + _EXIT_SECONDS
        while left := orphans(self.tag):
            if time.monotonic() > latest:
                raise ViolationError(f"processes outlive their run: {left}")
            time.sleep(0.1)

    def script(self, rules: Sequence[Mapping[str, object]]) -> None:
        """Reset the sandbox and set the fault rules for a new production."""
        self.http.post("/sandbox/reset").raise_for_status()
        self.sandbox.faults(*rules)

    def books(self) -> Mapping[str, Any]:
        """Return the sandbox's books of this production."""
        return dict(self.http.get("/sandbox/books").raise_for_status().json())

    def original(self, generation_id: str) -> bytes:
        """Download a video from the mirror, which has no faults."""
        return self.http.get(f"/mirror/{generation_id}-1.mp4").raise_for_status().content


def _end(processes: Sequence[subprocess.Popen[str]], how: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
    for process in processes:
        try:
            process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise ViolationError(f"a run did not end within {_EXIT_SECONDS:.0f} s of {how.name}") from None


def _manifest(output: str) -> Mapping[str, Any] | None:
    try:
        data = json.loads(output)
    except ValueError:
        return None
    return data if "clips" in data else None


def orphans(tag: str) -> list[int]:
    """Return the live processes that a worker's runs have started."""
    mark, found = f"{_TAG}={tag}".encode(), []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found
