"""The environment of one worker: a sandbox, receivers, and the runs of the command."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.campaign.chance import Moment, RunPlan
from benchmarks.campaign.commands import command
from benchmarks.campaign.orphans import TAG, require_no_orphans
from benchmarks.campaign.production import Production, Run, StoppedError, ViolationError
from tests.processes import (
    BIN,
    CALLBACK_SECRET,
    S3,
    Receiver,
    Sandbox,
    environment,
    forked,
    forking,
    receiving,
    running,
)

_POLL_SECONDS = 0.02
_ARCHIVE_POLL_SECONDS = 0.004
"""Some records follow others within milliseconds; to list an archive takes a few."""

_RUN_SECONDS = 120.0
"""A run has a deadline of at most 40 s; a run that takes longer than this hangs."""

_EXIT_SECONDS = 15.0
"""Time for a stopped run, or for the children of a killed one, to exit; it takes 2 s on an idle machine."""


@dataclass(frozen=True)
class Stage:
    """The environment of one worker.

    Attributes:
        prefect_url: API URL of the Prefect server; empty to run without Prefect.
        s3: The endpoint of all buckets.
        over: Set when all workers must stop.
        http: Client of the sandbox; opening one for each poll would take most of the CPU time.
        forks: Whether to fork the runs from a process that has imported the command.
    """

    folder: Path
    sandbox: Sandbox
    prefect_url: str
    s3: S3
    over: threading.Event
    http: httpx.Client
    forks: bool = False

    @property
    def temporary_folder(self) -> Path:
        """The folder for temporary files of runs."""
        return self.folder / "spool"

    @property
    def tag(self) -> str:
        """The mark of all processes that belong to this worker's runs."""
        return f"{os.getpid()}-{self.folder.name}"

    @property
    def env(self) -> dict[str, str]:
        """The environment variables of the command."""
        return environment(
            self.folder / "prefect",
            PREFECT_API_URL=self.prefect_url,
            PREFECT_LOGGING_TO_API_ENABLED="false",  # unused here, and costly for the server
            TMPDIR=str(self.temporary_folder),
            SEEDANCE_CALLBACK_SECRET=CALLBACK_SECRET,
            **self.s3.env,
            **self.sandbox.env,
        )

    def new_bucket(self) -> str:
        """Create a bucket, and return its URL."""
        return f"s3://{self.s3.bucket()}"

    @contextlib.contextmanager
    def receiving(self, archive: str, port: int) -> Iterator[Receiver]:
        """Run a receiver for an archive."""
        with (
            (self.folder / "receiver.err").open("a") as err,
            receiving(archive, env=self.env, port=port, stderr=err) as receiver,
        ):
            yield receiver

    def run(self, production: Production, plan: RunPlan) -> Sequence[Run]:
        """Run the production, with rivals if planned, and kill or stop all of them at the planned moment.

        Raises:
            ViolationError: A run does not end, or leaves a process behind.
            StoppedError: The campaign was stopped.
        """
        with contextlib.ExitStack() as stack:
            processes = [
                stack.enter_context(self._running(production, plan, number=number))
                for number in range(1 + plan.rivals)
            ]
            stopped = None
            if plan.moment and self._wait(processes, self._reached(plan.moment, production)):
                _end(processes, plan.moment.signal)
                stopped = plan.moment.signal
            self._wait(processes)
        require_no_orphans(self.tag, within_seconds=_EXIT_SECONDS)
        is_stopped = stopped == signal.SIGTERM
        return [
            self._ended(process, plan, number=number, is_stopped=is_stopped)
            for number, process in enumerate(processes)
        ]

    def run_with_pause(
        self, production: Production, plan: RunPlan, *, meanwhile: Callable[[], object]
    ) -> Sequence[Run]:
        """Run the production, suspend the run at the planned moment, and continue it while a rival works.

        Args:
            production: The production to run.
            plan: A plan with a moment and a pause.
            meanwhile: Called during a long pause, before the rival starts.
        """
        assert plan.moment
        assert plan.pause
        paused_seconds = 0.0
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(self._running(production, plan, number=0))]
            if self._wait(processes, self._reached(plan.moment, production)):
                since = time.monotonic()
                os.killpg(processes[0].pid, signal.SIGSTOP)
                try:
                    if plan.pause.is_long:
                        meanwhile()
                    processes.append(stack.enter_context(self._running(production, RunPlan(), number=1)))
                    until = time.monotonic() + plan.pause.rival_seconds
                    self._wait(processes[1:], lambda: time.monotonic() > until)
                finally:
                    os.killpg(processes[0].pid, signal.SIGCONT)
                paused_seconds = time.monotonic() - since
            self._wait(processes)
        require_no_orphans(self.tag, within_seconds=_EXIT_SECONDS)
        return [
            self._ended(process, plan, number=number, paused_seconds=0 if number else paused_seconds)
            for number, process in enumerate(processes)
        ]

    @contextlib.contextmanager
    def _running(
        self, production: Production, plan: RunPlan, *, number: int
    ) -> Iterator[subprocess.Popen[str]]:
        with (
            self._output_file(number, "out").open("w") as out,
            self._output_file(number, "err").open("w") as err,
        ):
            files = {"stdout": out, "stderr": err}
            env = {**self.env, TAG: self.tag}
            words = command(production, plan)
            start = forking if self.forks else running
            with start(*words, env=env, cwd=self.folder, **files) as process:
                yield process

    def _ended(
        self,
        process: subprocess.Popen[str],
        plan: RunPlan,
        *,
        number: int,
        is_stopped: bool = False,
        paused_seconds: float = 0,
    ) -> Run:
        out, err = (self._output_file(number, where).read_text(encoding="utf-8") for where in ("out", "err"))
        result = _result(out)
        return Run(
            plan=plan,
            killed=process.returncode == -signal.SIGKILL,
            stopped=is_stopped,
            exit_code=process.returncode,
            manifest=result if "clips" in result else None,
            state={
                name: result[name] for name in ("state", "message", "seconds", "started_at") if name in result
            },
            output=err or out,
            paused_seconds=paused_seconds,
        )

    def _output_file(self, number: int, where: str) -> Path:
        return self.folder / f"run-{number}.{where}"

    def _wait(
        self, processes: Sequence[subprocess.Popen[str]], reached: Callable[[], bool] = lambda: False
    ) -> bool:
        """Wait until all processes have ended, or a moment is reached, and return whether it was."""
        started = time.monotonic()
        while any(process.poll() is None for process in processes):
            if self.over.is_set():
                raise StoppedError
            if time.monotonic() - started > _RUN_SECONDS:
                raise ViolationError(f"the run did not end within {_RUN_SECONDS:.0f} s")
            if reached():
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def _reached(self, moment: Moment, production: Production) -> Callable[[], bool]:
        """Return a function that waits a little, and returns whether a moment is reached."""
        started = time.monotonic()
        goal = self._measure(moment, production, started) + moment.growth

        def reached() -> bool:
            until = time.monotonic() + _POLL_SECONDS
            while self._measure(moment, production, started) < goal:
                if time.monotonic() > until or moment.trigger in {"time", "accepted"}:
                    return False
                time.sleep(_ARCHIVE_POLL_SECONDS)
            time.sleep(moment.delay_seconds)
            return True

        return reached

    def _measure(self, moment: Moment, production: Production, started: float) -> float:
        match moment.trigger:
            case "time":
                return time.monotonic() - started
            case "accepted":
                return float(self.books()["totals"]["accepted"])
            case "manifest.json":
                began_at = production.manifest().get("began_at")
                return datetime.fromisoformat(began_at).timestamp() if began_at else 0
            case "clip-*.mp4" | "clip.json":
                return len(production.archive.keys(moment.trigger))
        return len(production.archive.keys(f"attempt-*/{moment.trigger}"))

    def call(self, *arguments: object) -> tuple[int, Mapping[str, Any]]:
        """Run another command with ``--json``, and return its exit code and result."""
        words = (BIN / "prefect-seedance", *arguments, "--json")
        try:
            ended = forked(*words, env=self.env, cwd=self.folder, seconds=_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            raise ViolationError(f"{arguments} did not end within {_RUN_SECONDS:.0f} s") from None
        return ended.returncode, _result(ended.stdout) or {"output": ended.stdout + ended.stderr}

    def reset(self) -> None:
        """Reset the sandbox for a new production."""
        self.http.post("/sandbox/reset").raise_for_status()

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


def _result(output: str) -> Mapping[str, Any]:
    """Return the last line, or everything, of a command's output as JSON; empty if it is none."""
    for text in (output, output.strip().rpartition("\n")[2]):
        with contextlib.suppress(ValueError):
            return dict(json.loads(text))
    return {}
