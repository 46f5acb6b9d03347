"""Where productions are made and killed: one sandbox, and one run of the command at a time."""

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
"""Every process that a run starts inherits this variable, so that none can hide."""

_LOOK_SECONDS = 0.02
_QUICK_LOOK_SECONDS = 0.002
"""Upon files, which are cheap to look at: some are followed by others within milliseconds."""

_RUN_SECONDS = 120.0
"""A run has a deadline of 40 s; beyond this it hangs."""

_LAST_BREATH_SECONDS = 15.0
"""How long a stopped run may take to end, and a dead run's children to notice: 2 s on an idle machine."""


class ViolationError(Exception):
    """Something that must never happen."""


class StoppedError(Exception):
    """The campaign is over before it is done."""


@dataclass(frozen=True)
class Production:
    """A film in the making.

    Attributes:
        name: Of its folder in the archive.
        images_url: Where its archive's images can be fetched.
    """

    name: str
    board: Path
    archive: Path
    images_url: str

    def files(self, pattern: str) -> list[Path]:
        """Find files of its clips."""
        return list(self.archive.glob(f"clips/*/{pattern}"))

    def count(self, name: str) -> int:
        """Count the clips that have a file of this name, as cheaply as can be."""
        try:
            clips = list(os.scandir(self.archive / "clips"))
        except FileNotFoundError:
            return 0
        return sum(os.path.exists(f"{clip.path}/{name}") for clip in clips)  # noqa: PTH110 -- ten times as fast

    def open_intents(self) -> list[Mapping[str, Any]]:
        """Read what was asked and neither accepted nor ended, as far as anybody has recorded."""
        return [
            json.loads(path.read_text(encoding="utf-8"))
            for path in self.files("attempt-*/intent.json")
            if not any((path.parent / answer).exists() for answer in ("accepted.json", "outcome.json"))
        ]

    @property
    def manifest(self) -> Path:
        """Where its last account is."""
        return self.archive / "productions" / self.name / "manifest.json"


@dataclass(frozen=True)
class Run:
    """One run of the command.

    Attributes:
        stopped: Whether it was asked to stop.
        manifest: Its account; None if it was killed or gave none.
        said: What it complained of.
    """

    killed: bool
    stopped: bool
    exit_code: int
    manifest: Mapping[str, Any] | None
    said: str

    @property
    def entries(self) -> Sequence[Mapping[str, Any]]:
        """What became of each clip."""
        return self.manifest["clips"] if self.manifest else ()


@dataclass(frozen=True)
class Stage:
    """One worker's place.

    Attributes:
        over: Is set when everything shall stop.
        http: Speaks to the sandbox; one for all looks, or most of the machine's time went into them.
    """

    folder: Path
    sandbox: Sandbox
    prefect_url: str
    over: threading.Event
    http: httpx.Client

    @property
    def spool(self) -> Path:
        """Where runs put their temporary files."""
        return self.folder / "spool"

    @property
    def tag(self) -> str:
        """Tell this stage's processes from all others."""
        return f"{os.getpid()}-{self.folder.name}"

    @property
    def env(self) -> dict[str, str]:
        """What the command needs."""
        return environment(
            self.folder / "prefect",
            PREFECT_API_URL=self.prefect_url,
            PREFECT_LOGGING_TO_API_ENABLED="false",  # nobody reads them here, and they take a server's time
            TMPDIR=str(self.spool),
            **{_TAG: self.tag},
            **self.sandbox.env,
        )

    def run(self, production: Production, *, moment: Moment | None = None, rivals: int = 0) -> Sequence[Run]:
        """Run the command, perhaps several times at once, and kill all if the moment comes.

        Raises:
            ViolationError: It does not end, or leaves a process behind.
            StoppedError: The campaign is over.
        """
        with contextlib.ExitStack() as stack:
            begun = [
                stack.enter_context(self._begun(production, number=number)) for number in range(1 + rivals)
            ]
            came = self._watch(begun, production, moment)
        self._demand_no_orphans()
        stopped = came and moment is not None and moment.is_gentle
        return [self._ended(process, stopped=stopped, number=number) for number, process in enumerate(begun)]

    @contextlib.contextmanager
    def _begun(self, production: Production, *, number: int) -> Iterator[subprocess.Popen[str]]:
        times = ("--first-look", "0.2", "--look-every", "0.2", "--timeout", "1.5", "--deadline", "40")
        words = ("produce", production.board, "--archive", production.archive, "--json", *times)
        command = (BIN / "prefect-seedance", *words, "--images-url", production.images_url)
        with self._said(number, "out").open("w") as out, self._said(number, "err").open("w") as err:
            files = {"stdout": out, "stderr": err}
            with running(*command, env=self.env, cwd=self.folder, **files) as process:
                yield process

    def _ended(self, process: subprocess.Popen[str], *, stopped: bool, number: int) -> Run:
        out, err = (self._said(number, where).read_text(encoding="utf-8") for where in ("out", "err"))
        return Run(
            killed=process.returncode == -signal.SIGKILL,
            stopped=stopped,
            exit_code=process.returncode,
            manifest=_manifest(out),
            said=err or out,
        )

    def _said(self, number: int, where: str) -> Path:
        return self.folder / f"run-{number}.{where}"

    def _watch(
        self, begun: Sequence[subprocess.Popen[str]], production: Production, moment: Moment | None
    ) -> bool:
        """Wait for the end of all, and tell whether the moment came."""
        came = False
        began = time.monotonic()
        goal = self._see(moment, production, began) + moment.more if moment else float("inf")
        while any(process.poll() is None for process in begun):
            if self.over.is_set():
                raise StoppedError
            if time.monotonic() - began > _RUN_SECONDS:
                raise ViolationError(f"the run did not end within {_RUN_SECONDS:.0f} s")
            if moment and self._see(moment, production, began) >= goal:
                time.sleep(moment.delay_seconds)
                _end(begun, signal.SIGTERM if moment.is_gentle else signal.SIGKILL)
                came = True
            is_file = moment and moment.sight.endswith((".json", ".mp4"))
            time.sleep(_QUICK_LOOK_SECONDS if is_file else _LOOK_SECONDS)
        return came

    def _see(self, moment: Moment, production: Production, began: float) -> float:
        match moment.sight:
            case "time":
                return time.monotonic() - began
            case "accepted":
                return float(self.books()["totals"]["accepted"])
            case "manifest.json":
                return production.manifest.stat().st_mtime_ns if production.manifest.exists() else 0
            case "clip-*.mp4" | "clip.json":
                return production.count(moment.sight)
        return production.count(f"attempt-001/{moment.sight}")

    def _demand_no_orphans(self) -> None:
        latest = time.monotonic() + _LAST_BREATH_SECONDS
        while left := orphans(self.tag):
            if time.monotonic() > latest:
                raise ViolationError(f"processes outlive their run: {left}")
            time.sleep(0.1)

    def script(self, rules: Sequence[Mapping[str, object]]) -> None:
        """Begin a production: with empty books, and these faults in force."""
        self.http.post("/sandbox/reset").raise_for_status()
        self.sandbox.faults(*rules)

    def books(self) -> Mapping[str, Any]:
        """Read what the sandbox has seen of this production."""
        return dict(self.http.get("/sandbox/books").raise_for_status().json())

    def original(self, generation_id: str) -> bytes:
        """Fetch a video as it was made, from where no fault strikes."""
        return self.http.get(f"/mirror/{generation_id}-1.mp4").raise_for_status().content


def _end(begun: Sequence[subprocess.Popen[str]], how: signal.Signals) -> None:
    for process in begun:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
    for process in begun:
        try:
            process.wait(_LAST_BREATH_SECONDS)
        except subprocess.TimeoutExpired:
            raise ViolationError(
                f"a run did not end within {_LAST_BREATH_SECONDS:.0f} s of {how.name}"
            ) from None


def _manifest(told: str) -> Mapping[str, Any] | None:
    try:
        said = json.loads(told)
    except ValueError:
        return None
    return said if "clips" in said else None


def orphans(tag: str) -> list[int]:
    """Find the processes that a stage's runs have started and that are still alive."""
    mark, found = f"{_TAG}={tag}".encode(), []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found
