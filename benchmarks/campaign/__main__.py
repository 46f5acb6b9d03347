"""Run productions under random faults and kills, and check the results.

Run: make campaign, or .venv/bin/python -m benchmarks.campaign --help
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Annotated

import httpx
from cyclopts import App, Parameter

from benchmarks.campaign import chance, judge, operator
from benchmarks.campaign.chance import CLIPS, Moment
from benchmarks.campaign.stage import Production, Run, Stage, StoppedError, ViolationError
from tests.processes import KEY, environment, sandboxes, serving_prefect

_MAX_RUNS = 40
"""Runs per production; a production that needs more is never complete."""

_RESOLVE_FIRST = 0.5
"""Probability that the operator resolves open submissions of a killed run before the next run."""

_RIVAL = 0.1
"""Probability that two runs work on a production concurrently."""

_MAX_WITHOUT_MANIFEST = 3
"""Runs of a production that may exit without a manifest although they were not stopped."""

app = App(name="campaign", help=__doc__)


@dataclass
class Tally:
    """The remaining work and the counters, shared by all workers."""

    clips: int
    kills: int
    started_at: float = field(default_factory=time.monotonic)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    started: int = 0
    kills_given: int = 0

    def take(self, chance: Random) -> tuple[int, int] | None:
        """Return the number of the next production and its kills, or None if no work is left."""
        with self.lock:
            productions, kills = self.clips // CLIPS - self.started, self.kills - self.kills_given
            if productions <= 0 and kills <= 0:
                return None
            share = kills / max(productions, 1)
            given = min(kills, round(chance.uniform(0.5, 1.5) * share + chance.random() - 0.5))
            given = max(given, min(kills, 4) if productions <= 1 else 0)
            self.started += 1
            self.kills_given += given
            return self.started, given

    def return_kills(self, kills: int) -> None:
        """Return unused kills."""
        with self.lock:
            self.kills_given -= kills

    def count(self, **more: int) -> None:
        """Add to the counters."""
        with self.lock:
            self.counts.update(more)

    def record(self, production: str, found: Iterator[str]) -> None:
        """Record violations."""
        with self.lock:
            for violation in found:
                self.violations.append(f"{production}: {violation}")
                print(f"VIOLATION {production}: {violation}", file=sys.stderr, flush=True)

    def figures(self) -> dict[str, object]:
        """Return the figures to print."""
        return {
            "seconds": round(time.monotonic() - self.started_at),
            **self.counts,
            "violations": len(self.violations),
        }


@dataclass(frozen=True)
class Worker:
    """Run productions one after the other."""

    seed: int
    stage: Stage
    tally: Tally

    def work(self) -> None:
        """Run productions until no work is left or a violation is found."""
        chance_of_kills = Random(f"{self.seed} {self.stage.folder.name}")  # noqa: S311 -- must be repeatable
        try:
            while not self.tally.violations and (task := self.tally.take(chance_of_kills)):
                self._produce(*task)
        except StoppedError:
            pass
        except Exception:  # noqa: BLE001 -- any error fails the campaign
            self.tally.record(self.stage.folder.name, iter([traceback.format_exc()]))

    def _produce(self, number: int, kills: int) -> None:
        random = Random(f"{self.seed} {number}")  # noqa: S311 -- must be repeatable
        title = f"film {self.seed} {number}"
        folder = self.stage.folder / f"film-{number}"
        clip_list = chance.write_clip_list(folder, title=title, chance=random)
        (folder / "archive" / "images").mkdir(parents=True)
        production = Production(
            name=title.replace(" ", "-"),
            clip_list=clip_list,
            archive=folder / "archive",
            images_url=f"{self.stage.sandbox.hosted}{folder.name}/archive/images",
        )
        self.stage.script(chance.rules(random))
        try:
            self._complete(production, kills=kills, random=random)
            self._sweep(production)
            self.tally.record(title, judge.whole(self.stage, production))
        except ViolationError as error:
            self.tally.record(title, iter([str(error)]))
        self._close(production, title)

    def _complete(self, production: Production, *, kills: int, random: Random) -> None:
        """Run, kill and resolve until the production is complete."""
        without_manifest = 0
        for _ in range(_MAX_RUNS):
            missing = CLIPS - len(production.files("clip.json"))
            moment = Moment.draw(random, missing=missing) if kills else None
            # No rival when stopping: either run may print the manifest that the other stored last.
            is_alone = moment is not None and moment.is_graceful
            rivals = 0 if is_alone or random.random() > _RIVAL else 1
            runs = self._run(production, moment=moment, rivals=rivals)
            if any(run.killed for run in runs):
                kills -= 1
                self._count_kill(production)
                if random.random() < _RESOLVE_FIRST:
                    operator.wait_until_resolvable(self.stage, production)
                    self.tally.count(**operator.resolve(self.stage, production))
            elif not all(run.manifest for run in runs) and not runs[0].stopped:
                without_manifest += 1
                self.tally.count(without_manifest=1)
                if without_manifest > _MAX_WITHOUT_MANIFEST:
                    raise ViolationError(
                        f"no manifest: {[(run.exit_code, run.output[-999:]) for run in runs]}"
                    )
            elif len(runs) == 1 and _is_complete(runs[0]):
                self.tally.return_kills(kills)
                return
            else:
                self.tally.count(**operator.resolve(self.stage, production))
        raise ViolationError(f"{_MAX_RUNS} runs did not complete the production: {runs[0].output[-2000:]}")

    def _run(self, production: Production, *, moment: Moment | None = None, rivals: int = 0) -> Sequence[Run]:
        runs = self.stage.run(production, moment=moment, rivals=rivals)
        self.tally.count(
            runs=len(runs), rivals=rivals, kills=any(run.killed for run in runs), stops=runs[0].stopped
        )
        self.tally.record(production.name, judge.bill(self.stage, runs))
        self.tally.record(production.name, judge.order(production))
        self.tally.record(production.name, judge.videos(production))
        return runs

    def _count_kill(self, production: Production) -> None:
        """Count which steps the kill interrupted."""
        clips = len(production.files("clip.json"))
        self.tally.count(
            kills_amid_submissions=bool(production.open_intents()),
            kills_amid_generations=bool(production.files("attempt-*/accepted.json")) and clips < CLIPS,
            kills_between_video_and_record=len(production.files("clip-*.mp4")) > clips,
            kills_amid_writing=bool(judge.staged(production)),
        )

    def _sweep(self, production: Production) -> None:
        """Backdate partial files of killed writers, run once more, and require that they are removed."""
        left = judge.staged(production)
        if not left:
            return
        judge.backdate(left)
        self._run(production)
        self.tally.count(swept=len(left) - len(judge.staged(production)))
        self.tally.record(production.name, (f"{path} is left over" for path in judge.staged(production)))

    def _close(self, production: Production, title: str) -> None:
        """Add the production to the figures, and remove it unless there was a violation."""
        books = self.stage.books()
        states = Counter(each["state"] for each in books["generations"])
        self.tally.count(
            productions=1,
            clips=CLIPS,
            accepted=books["totals"]["accepted"],
            paid_seconds=books["totals"]["paid_seconds"],
            duplicates=books["totals"]["duplicates"],
            archived=len(production.files("clip.json")),
            losses=states["success"] - len(production.files("clip.json")),
            failed=states["failed"],
            rejected=CLIPS - len({each["prompt"] for each in books["generations"]}),
        )
        figures = self.tally.figures()
        print(f"{title} is complete; {json.dumps(figures)}", file=sys.stderr, flush=True)
        if not self.tally.violations:
            shutil.rmtree(production.archive.parent)


def _is_complete(run: Run) -> bool:
    final = {"GenerationFailedError", "ContentRejectedError"}
    return bool(run.entries) and all(
        entry["status"] in {"made", "reused"} or (entry["status"] == "failed" and entry["cause"] in final)
        for entry in run.entries
    )


@app.default
def campaign(
    *,
    clips: Annotated[int, Parameter(help="Minimum number of clips to produce.")] = 2000,
    kills: Annotated[int, Parameter(help="Minimum number of runs to kill.")] = 200,
    seed: Annotated[int | None, Parameter(help="Random seed. Default: a new one.")] = None,
    workers: Annotated[int, Parameter(help="Number of concurrent productions.")] = 4,
    seconds: Annotated[float, Parameter(help="Timeout of the campaign in seconds.")] = 3600.0,
    plain: Annotated[bool, Parameter(help="Run without Prefect.", negative=())] = False,
) -> int:
    """Run the campaign; exit with 0 if no rule was violated, 1 if one was, 2 if it is incomplete."""
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    print(f"seed {seed}", file=sys.stderr, flush=True)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix=f"campaign-{seed}-"))
    # The operator's command runs in this process.
    os.environ.update(environment(folder / "operator", SEEDANCE_API_KEY=KEY))
    tally, over = Tally(clips=clips, kills=kills), threading.Event()
    with contextlib.ExitStack() as stack:
        # Without its services, the Prefect server needs half the CPU time.
        prefect_url = (
            ""
            if plain
            else os.environ.get("PREFECT_API_URL")
            or stack.enter_context(serving_prefect(folder, "--no-services"))
        )
        start = stack.enter_context(sandboxes(folder))
        threads = []
        for number in range(workers):
            worker_folder = folder / f"worker-{number}"
            (worker_folder / "spool").mkdir(parents=True)
            sandbox = start(serve=worker_folder, frame_rate=2, seed=seed + number)
            http = stack.enter_context(httpx.Client(base_url=sandbox.url, timeout=30))
            stage = Stage(
                folder=worker_folder, sandbox=sandbox, prefect_url=prefect_url, over=over, http=http
            )
            threads.append(threading.Thread(target=Worker(seed, stage, tally).work))
        try:
            _join(threads, latest=time.monotonic() + seconds)
        except KeyboardInterrupt:
            print("Stopped", file=sys.stderr)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    return _report(seed, tally, folder)


def _join(threads: list[threading.Thread], *, latest: float) -> None:
    for thread in threads:
        thread.start()
    while time.monotonic() < latest and any(thread.is_alive() for thread in threads):
        time.sleep(0.2)


def _report(seed: int, tally: Tally, folder: Path) -> int:
    done = tally.counts["clips"] >= tally.clips and tally.counts["kills"] >= tally.kills
    print(json.dumps({"seed": seed, "done": done, **tally.figures()}), flush=True)
    if tally.violations:
        print(f"Violation with seed {seed}; the evidence is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0 if done else 2


if __name__ == "__main__":
    sys.exit(app())
