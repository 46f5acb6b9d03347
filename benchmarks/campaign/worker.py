"""Run productions until each is complete, and count what happened."""

import asyncio
import contextlib
import functools
import json
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from benchmarks.campaign import faults, judge, operator, verdict
from benchmarks.campaign.archive import Archive
from benchmarks.campaign.chance import Chance, RunPlan, Setting
from benchmarks.campaign.clip_list import CLIPS, ClipListFile
from benchmarks.campaign.production import Production, Run, StoppedError, ViolationError
from benchmarks.campaign.receiver import MortalReceiver
from benchmarks.campaign.stage import Stage
from benchmarks.campaign.tally import Tally
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.storage.store import Store

_MAX_RUNS = 40
"""Runs per production; a production that needs more is never complete."""

_MAX_RESCUES = 8
"""Rescues per production; each may fail because of the API's faults, but never all."""

_RESCUE_SECONDS = 75
"""Deadline of a rescue: without a first poll to set, it polls 40 s after the acceptance."""

_MAX_WITHOUT_MANIFEST = 3
"""Runs of a production that may exit without a manifest although they were not stopped."""


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
        self.stage.reset()
        with self._production(title, Setting.of(number, seed=self.seed), random) as production:
            drawn = faults.rules(random)
            self.stage.sandbox.faults(*drawn)
            try:
                self._complete(production, kills=kills, chance=Chance(random, bool(self.stage.prefect_url)))
                self._sweep(production)
                self.stage.sandbox.faults(*faults.without_hangs(drawn))
                self._rescue(production)
                self.tally.record(title, verdict.whole(self.stage, production))
            except ViolationError as error:
                self.tally.record(title, iter([str(error)]))
            self._count_books(production)
        print(f"{title} is complete; {json.dumps(self.tally.figures())}", file=sys.stderr, flush=True)
        if not self.tally.violations:
            shutil.rmtree(production.clip_list.path.parent)

    @contextlib.contextmanager
    def _production(self, title: str, setting: Setting, random: Random) -> Iterator[Production]:
        """Open a new production, with a receiver if it has callbacks."""
        stage, folder = self.stage, self.stage.folder / title.replace(" ", "-")
        clip_list = ClipListFile.create(folder, title=title, chance=random)
        (folder / "archive" / "images").mkdir(parents=True)
        url = stage.new_bucket() if setting.in_bucket else str(folder / "archive")
        start = functools.partial(stage.receiving, url)
        receiving = MortalReceiver.running(start) if setting.has_callbacks else contextlib.nullcontext()
        with asyncio.Runner() as runner, receiving as receiver:
            yield Production(
                name=folder.name,
                setting=setting,
                clip_list=clip_list,
                archive=Archive(
                    url=url,
                    store=Store.open(url),
                    folder=None if setting.in_bucket else folder / "archive",
                    runner=runner,
                ),
                images_url="" if setting.in_bucket else f"{stage.sandbox.hosted}{folder.name}/archive/images",
                receiver=receiver,
            )

    def _complete(self, production: Production, *, kills: int, chance: Chance) -> None:
        """Run, kill, edit and resolve until the production is complete."""
        without_manifest = 0
        for _ in range(_MAX_RUNS):
            runs = self._run(production, chance.plan_run(missing=production.missing, may_kill=kills > 0))
            if any(run.killed for run in runs):
                kills -= 1
                self._count_kill(production)
                if production.receiver and chance.kills_receiver():
                    production.receiver.kill_and_restart()
                    self.tally.count(receiver_kills=1)
                self._edit(production, chance)
                if chance.resolves_first():
                    operator.wait_until_resolvable(self.stage, production)
                    self.tally.count(**operator.resolve(self.stage, production))
            elif not all(run.manifest or run.timed_out for run in runs) and not runs[0].stopped:
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

    def _run(self, production: Production, plan: RunPlan) -> Sequence[Run]:
        if plan.pause:
            runs = self.stage.run_with_pause(
                production, plan, meanwhile=lambda: self._resolve_all(production)
            )
        else:
            runs = self.stage.run(production, plan)
        self._count_runs(runs)
        self.tally.record(production.name, judge.runs(self.stage, production, runs))
        return runs

    def _resolve_all(self, production: Production) -> None:
        operator.wait_until_resolvable(self.stage, production)
        self.tally.count(**operator.resolve(self.stage, production))

    def _count_runs(self, runs: Sequence[Run]) -> None:
        first = runs[0]
        pause = first.plan.pause if first.paused_seconds else None
        entries = [entry for run in runs for entry in run.entries]
        self.tally.count(
            runs=len(runs),
            rivals=first.plan.rivals,
            kills=any(run.killed for run in runs),
            stops=first.stopped,
            no_wait=not first.plan.waiting.wait,
            past_deadline=any(entry["cause"] == "DeadlineError" for entry in entries),
            time_limits=first.plan.time_limit is not None,
            timed_out=first.timed_out,
            pauses=pause is not None,
            long_pauses=pause is not None and pause.is_long,
            rescued_by_runs=sum(
                clip["status"] == "made" for run in runs if run.manifest for clip in run.manifest["former"]
            ),
        )

    def _count_kill(self, production: Production) -> None:
        """Count which steps the kill interrupted."""
        archive, clips = production.archive, len(production.archive.keys("clip.json"))
        self.tally.count(
            kills_amid_submissions=bool(archive.open_intents()),
            kills_amid_generations=bool(archive.accepted()) and production.missing > 0,
            kills_between_video_and_record=len(archive.keys("clip-*.mp4")) > clips,
            kills_amid_writing=bool(archive.staged()),
        )

    def _edit(self, production: Production, chance: Chance) -> None:
        """Edit clips, at first those that are paid and not archived."""
        archived = production.archive.archived()
        paid = {
            each["prompt"]
            for each in self.stage.books()["generations"]
            if each["taskId"] not in archived and each["state"] != "failed"
        } & production.clip_list.current
        for _ in range(chance.edits(is_paid=bool(paid))):
            gone = production.clip_list.edit(chance.random, preferred=paid)
            self.tally.count(edits=1, edits_of_paid_clips=gone in paid)

    def _sweep(self, production: Production) -> None:
        """Backdate partial files of killed writers, run once more, and require that they are removed."""
        if left := production.archive.backdate_staged():
            self._run(production, RunPlan())
            staged = production.archive.staged()
            self.tally.count(swept=left - len(staged))
            self.tally.record(production.name, (f"{path} is left over" for path in staged))

    def _rescue(self, production: Production) -> None:
        """Rescue all paid clips of the archive, and resolve what prevents that."""
        for _ in range(_MAX_RESCUES):
            self._resolve_all(production)
            code, result = self.stage.call(
                "rescue", production.archive.url, "--deadline", str(_RESCUE_SECONDS)
            )
            rescued = [clip for clip in result.get("clips", ()) if clip["key"]]
            self.tally.count(rescues=1, rescued_by_command=len(rescued))
            if code == ExitCode.complete:
                return
        raise ViolationError(f"{_MAX_RESCUES} rescues did not archive every paid clip: {result}")

    def _count_books(self, production: Production) -> None:
        """Add the production to the figures."""
        books, archive, setting = self.stage.books(), production.archive, production.setting
        states, archived = Counter(each["state"] for each in books["generations"]), archive.archived()
        hints = archive.records("attempt-*/accepted.json").values()
        self.tally.count(
            productions=1,
            clips=CLIPS,
            in_buckets=setting.in_bucket,
            with_receiver=setting.has_callbacks,
            accepted=books["totals"]["accepted"],
            paid_seconds=books["totals"]["paid_seconds"],
            duplicates=books["totals"]["duplicates"],
            callbacks=books["totals"]["callbacks"],
            adopted_by_callback=sum("callback" in str(hint["resolved_by"]) for hint in hints),
            archived=len(archived),
            losses=states["success"] - len(archived),
            failed=states["failed"],
            rejected=sum(
                entry["cause"] == "ContentRejectedError" for entry in production.manifest()["clips"]
            ),
        )


def _is_complete(run: Run) -> bool:
    final = {"GenerationFailedError", "ContentRejectedError"}
    return bool(run.entries) and all(
        entry["status"] in {"made", "reused"} or (entry["status"] == "failed" and entry["cause"] in final)
        for entry in run.entries
    )
