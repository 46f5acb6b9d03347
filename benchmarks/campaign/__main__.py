"""Break productions with faults and kills until the seed is used up, and judge what came of them.

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

from benchmarks.campaign import chance, judge, person
from benchmarks.campaign.chance import CLIPS, Moment
from benchmarks.campaign.stage import Production, Run, Stage, StoppedError, ViolationError
from tests.processes import KEY, environment, sandboxes, serving_prefect

_RUNS_AT_MOST = 40
"""In one production; more means that it never gets settled."""

_PATIENCE = 0.5
"""How often the person settles what a killed run left before the next run can report it."""

_RIVALRY = 0.1
"""How often two runs work on a production at once."""

_ACCOUNTLESS_AT_MOST = 3
"""Runs that end by themselves without an account of the production."""

app = App(name="campaign", help=__doc__)


@dataclass
class Tally:
    """What is left to do and what has been counted, shared by all workers."""

    clips: int
    kills: int
    began: float = field(default_factory=time.monotonic)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    begun: int = 0
    kills_given: int = 0

    def take(self, chance: Random) -> tuple[int, int] | None:
        """Hand out the next production with its kills, or None if there is nothing left to do."""
        with self.lock:
            productions, kills = self.clips // CLIPS - self.begun, self.kills - self.kills_given
            if productions <= 0 and kills <= 0:
                return None
            share = kills / max(productions, 1)
            given = min(kills, round(chance.uniform(0.5, 1.5) * share + chance.random() - 0.5))
            given = max(given, min(kills, 4) if productions <= 1 else 0)
            self.begun += 1
            self.kills_given += given
            return self.begun, given

    def give_back(self, kills: int) -> None:
        """Take back kills whose moments never came."""
        with self.lock:
            self.kills_given -= kills

    def count(self, **more: int) -> None:
        """Count."""
        with self.lock:
            self.counts.update(more)

    def complain(self, production: str, found: Iterator[str]) -> None:
        """Note violations."""
        with self.lock:
            for violation in found:
                self.violations.append(f"{production}: {violation}")
                print(f"VIOLATION {production}: {violation}", file=sys.stderr, flush=True)

    def figures(self) -> dict[str, object]:
        """Return what a reader wants to know."""
        return {
            "seconds": round(time.monotonic() - self.began),
            **self.counts,
            "violations": len(self.violations),
        }


@dataclass(frozen=True)
class Worker:
    """Makes one production after the other."""

    seed: int
    stage: Stage
    tally: Tally

    def work(self) -> None:
        """Work until there is nothing left to do, or something went wrong."""
        chance_of_kills = Random(f"{self.seed} {self.stage.folder.name}")  # noqa: S311 -- to be repeatable
        try:
            while not self.tally.violations and (task := self.tally.take(chance_of_kills)):
                self._produce(*task)
        except StoppedError:
            pass
        except Exception:  # noqa: BLE001 -- whatever it is, the campaign has failed
            self.tally.complain(self.stage.folder.name, iter([traceback.format_exc()]))

    def _produce(self, number: int, kills: int) -> None:
        luck = Random(f"{self.seed} {number}")  # noqa: S311 -- to be repeatable
        title = f"film {self.seed} {number}"
        folder = self.stage.folder / f"film-{number}"
        board = chance.write_board(folder, title=title, chance=luck)
        (folder / "archive" / "images").mkdir(parents=True)
        production = Production(
            name=title.replace(" ", "-"),
            board=board,
            archive=folder / "archive",
            images_url=f"{self.stage.sandbox.hosted}{folder.name}/archive/images",
        )
        self.stage.script(chance.rules(luck))
        try:
            self._settle(production, kills=kills, luck=luck)
            self._tidy(production)
            self.tally.complain(title, judge.whole(self.stage, production))
        except ViolationError as error:
            self.tally.complain(title, iter([str(error)]))
        self._close(production, title)

    def _settle(self, production: Production, *, kills: int, luck: Random) -> None:
        """Run, kill and settle until nothing is left to do."""
        accountless = 0
        for _ in range(_RUNS_AT_MOST):
            missing = CLIPS - len(production.files("clip.json"))
            moment = Moment.draw(luck, missing=missing) if kills else None
            # Of rivals that are asked to stop, each may show the account that the other left last.
            is_alone = moment is not None and moment.is_gentle
            rivals = 0 if is_alone or luck.random() > _RIVALRY else 1
            runs = self._run(production, moment=moment, rivals=rivals)
            if any(run.killed for run in runs):
                kills -= 1
                self._look_at_wreck(production)
                if luck.random() < _PATIENCE:
                    person.wait_for_answers(self.stage, production)
                    self.tally.count(**person.settle(self.stage, production))
            elif not all(run.manifest for run in runs) and not runs[0].stopped:
                accountless += 1
                self.tally.count(accountless=1)
                if accountless > _ACCOUNTLESS_AT_MOST:
                    raise ViolationError(f"no account: {[(run.exit_code, run.said[-999:]) for run in runs]}")
            elif len(runs) == 1 and _is_settled(runs[0]):
                self.tally.give_back(kills)
                return
            else:
                self.tally.count(**person.settle(self.stage, production))
        raise ViolationError(f"{_RUNS_AT_MOST} runs have not settled it: {runs[0].said[-2000:]}")

    def _run(self, production: Production, *, moment: Moment | None = None, rivals: int = 0) -> Sequence[Run]:
        runs = self.stage.run(production, moment=moment, rivals=rivals)
        self.tally.count(
            runs=len(runs), rivals=rivals, kills=any(run.killed for run in runs), stops=runs[0].stopped
        )
        self.tally.complain(production.name, judge.bill(self.stage, runs))
        self.tally.complain(production.name, judge.order(production))
        self.tally.complain(production.name, judge.videos(production))
        return runs

    def _look_at_wreck(self, production: Production) -> None:
        """Count what the kill struck."""
        clips = len(production.files("clip.json"))
        self.tally.count(
            kills_amid_submissions=bool(production.open_intents()),
            kills_amid_generations=bool(production.files("attempt-*/accepted.json")) and clips < CLIPS,
            kills_between_video_and_record=len(production.files("clip-*.mp4")) > clips,
            kills_amid_writing=bool(judge.staged(production)),
        )

    def _tidy(self, production: Production) -> None:
        """Let ten minutes pass for what killed writers left, run once more, and demand that it is gone."""
        left = judge.staged(production)
        if not left:
            return
        judge.backdate(left)
        self._run(production)
        self.tally.count(swept=len(left) - len(judge.staged(production)))
        self.tally.complain(production.name, (f"{path} is left over" for path in judge.staged(production)))

    def _close(self, production: Production, title: str) -> None:
        """Add the production to the figures, and remove it unless it has to be looked into."""
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
        print(f"{title} is settled; {json.dumps(figures)}", file=sys.stderr, flush=True)
        if not self.tally.violations:
            shutil.rmtree(production.archive.parent)


def _is_settled(run: Run) -> bool:
    final = {"GenerationFailedError", "ContentRejectedError"}
    return bool(run.entries) and all(
        entry["standing"] in {"made", "reused"} or (entry["standing"] == "failed" and entry["cause"] in final)
        for entry in run.entries
    )


@app.default
def campaign(
    *,
    clips: Annotated[int, Parameter(help="How many to produce at least.")] = 2000,
    kills: Annotated[int, Parameter(help="How many runs to kill at least.")] = 200,
    seed: Annotated[int | None, Parameter(help="Of all that is drawn; by default a new one.")] = None,
    workers: Annotated[int, Parameter(help="Productions at a time.")] = 4,
    seconds: Annotated[float, Parameter(help="Give up after so long.")] = 3600.0,
) -> int:
    """Produce, break and judge; return 0 if all that must hold has held."""
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    print(f"seed {seed}", file=sys.stderr, flush=True)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix=f"campaign-{seed}-"))
    # The person's command runs in this process.
    os.environ.update(environment(folder / "person", SEEDANCE_API_KEY=KEY))
    tally, over = Tally(clips=clips, kills=kills), threading.Event()
    with contextlib.ExitStack() as stack:
        # Without its services Prefect shows less of each run afterwards, and takes half the time.
        prefect_url = os.environ.get("PREFECT_API_URL") or stack.enter_context(
            serving_prefect(folder, "--no-services")
        )
        start = stack.enter_context(sandboxes(folder))
        threads = []
        for number in range(workers):
            place = folder / f"worker-{number}"
            (place / "spool").mkdir(parents=True)
            sandbox = start(serve=place, frame_rate=2, seed=seed + number)
            http = stack.enter_context(httpx.Client(base_url=sandbox.url, timeout=30))
            stage = Stage(folder=place, sandbox=sandbox, prefect_url=prefect_url, over=over, http=http)
            threads.append(threading.Thread(target=Worker(seed, stage, tally).work))
        try:
            _await(threads, latest=time.monotonic() + seconds)
        except KeyboardInterrupt:
            print("Stopped", file=sys.stderr)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    return _report(seed, tally, folder)


def _await(threads: list[threading.Thread], *, latest: float) -> None:
    for thread in threads:
        thread.start()
    while time.monotonic() < latest and any(thread.is_alive() for thread in threads):
        time.sleep(0.2)


def _report(seed: int, tally: Tally, folder: Path) -> int:
    done = tally.counts["clips"] >= tally.clips and tally.counts["kills"] >= tally.kills
    print(json.dumps({"seed": seed, "done": done, **tally.figures()}), flush=True)
    if tally.violations:
        print(f"Violated under seed {seed}; the evidence is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0 if done else 2


if __name__ == "__main__":
    sys.exit(app())
