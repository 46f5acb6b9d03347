"""Break the rules that protect money, one at a time in a copy, and show which tests fail.

Run: .venv/bin/python -m benchmarks.breaking [--rule NAME …]
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

_ROOT = Path(__file__).parents[1]
_PARTS = ("prefect_seedance", "flows", "deployments", "examples", "tests", "benchmarks", "pyproject.toml")
_UNITS = (
    "tests/api/test_account.py",
    "tests/api/test_client.py",
    "tests/api/test_permit.py",
    "tests/api/test_slots.py",
    "tests/clips",
    "tests/production/test_entries.py",
    "tests/production/test_rescue.py",
    "tests/production/test_run.py",
    "tests/report/test_manifest.py",
    "tests/storage/test_store.py",
    "tests/storyboard/test_plan.py",
    "tests/test_errors.py",
)
_SIMULATION = ("tests/simulation",)
_NOTHING = "nothing"
"""What a check that passes has noticed."""

app = App(name="breaking", help=__doc__)


@dataclass(frozen=True)
class Rule:
    """A rule, and the change that breaks it."""

    name: str
    module: str
    kept: str
    broken: str

    def break_in(self, root: Path) -> str:
        """Return the module's text with the rule broken."""
        text = (root / "prefect_seedance" / f"{self.module}.py").read_text(encoding="utf-8")
        assert text.count(self.kept) == 1, f"{self.module} has changed; update how to break: {self.name}"
        return text.replace(self.kept, self.broken)


RULES = (
    Rule(
        "the intent is recorded before anything is sent",
        "clips/purchase",
        "        attempt = await self._claim()\n"
        "        if attempt is None:\n            return None\n        try:\n"
        "            generation_id = await self.client.submit("
        "self.request, model=self.intent.model, permit=permit)\n",
        "        attempt = Attempt(intent=self.intent)\n        try:\n"
        "            generation_id = await self.client.submit("
        "self.request, model=self.intent.model, permit=permit)\n"
        "            await self._claim()\n",
    ),
    Rule(
        "of several claims of an attempt one succeeds",
        "storage/store",
        'await obstore.put_async(self._backend.writer, key, content, mode="create")',
        "await obstore.put_async(self._backend.writer, key, content)",
    ),
    Rule(
        "a submission is repeated only if nothing was started",
        "errors",
        "isinstance(error, SeedanceError) and error.transient and error.outcome_known",
        "isinstance(error, SeedanceError) and error.transient",
    ),
    Rule(
        "an unresolved attempt is not submitted again",
        "clips/submit",
        'may_pay = self.policy.on_unresolved == "resubmit" and not ours',
        "may_pay = not ours",
    ),
    Rule(
        "a run pays for a clip once",
        "clips/submit",
        "return next((attempt for attempt in ours if attempt.billed_seconds), None)",
        "return None",
    ),
    Rule(
        "nothing is sent after its permit has ended",
        "api/permit",
        "if self._is_revoked or now >= self.deadline or wall_clock.now() >= self.expires_at:",
        "if False:",
    ),
    Rule(
        "no caller cancels a purchase",
        "clips/supervision",
        "            on_cancel()\n",
        "            on_cancel()\n            task.cancel()\n",
    ),
    Rule(
        "the answer is recorded before it is used",
        "clips/ledger",
        "if not await self._create(attempt.key + ACCEPTANCE_FILE, acceptance):",
        "if False:",
    ),
    Rule(
        "no other attempt follows a success",
        "clips/submit",
        "            if latest and (latest.is_open or latest.has_video):\n",
        "            if latest and latest.is_open:\n",
    ),
    Rule(
        "all attempts decide about a clip",
        "clips/retry",
        "return min(reversed(attempts), key=_rank, default=None)",
        "return attempts[-1] if attempts else None",
    ),
    Rule(
        "a rejected clip is not bought again",
        "clips/retry",
        "            return None if policy.retry_rejected else attempt\n",
        "            return None\n",
    ),
    Rule(
        "generations in flight stay within the account's limit",
        "api/slots",
        "if len(self._taken) >= min(limit, self.share.limit(now) if self.share else limit):",
        "if False:",
    ),
    Rule(
        "generations of earlier runs take slots before anything is bought",
        "production/run",
        "            self.slots.take_open()\n",
        "",
    ),
    Rule(
        "the bill counts every attempt of the run",
        "production/entries",
        "return sum(each.billed_seconds for each in attempts if each.intent.run_id == self.settings.run_id)",
        "return max((each.billed_seconds for each in attempts), default=0)",
    ),
    Rule(
        "paid clips of an edited storyboard are archived",
        "production/rescue",
        "        if history.clip or attempt is None or not self.archives:\n",
        "        if True:\n",
    ),
    Rule(
        "equal clips have equal fingerprints",
        "storyboard/plan",
        '            "take": request.take,\n',
        '            "take": request.take,\n            "run": __import__("os").getpid(),\n',
    ),
    Rule(
        "a new id may be unknown for a while",
        "clips/finality",
        "        if isinstance(answer, NotFoundError):\n            return cls.not_found\n",
        "",
    ),
    Rule(
        "one odd answer is never final",
        "clips/finality",
        "        return sent - self.since\n",
        '        return float("inf")\n',
    ),
    Rule(
        "a run that does not wait concludes nothing from one odd answer",
        "clips/finality",
        "    if _has_expired(attempt):\n        return True\n",
        "    return True\n",
    ),
    Rule(
        "a video is verified before it is stored",
        "clips/archive",
        "        sources = Sources(\n            client=self.client,\n"
        "            downloader=self.downloader,\n            decode=partial(self._decode, attempt),\n",
        "        async def decode(file: BinaryIO) -> Examination:\n"
        "            file.seek(0)\n"
        "            sha256 = __import__('hashlib').sha256(file.read()).hexdigest()\n"
        "            await self._store(attempt.intent.fingerprint, file, sha256=sha256, name='')\n"
        "            return await self._decode(attempt, file)\n\n"
        "        sources = Sources(\n            client=self.client,\n"
        "            downloader=self.downloader,\n            decode=decode,\n",
    ),
    Rule(
        "every link of a paid video is tried",
        "clips/sources",
        "            for url in links[:_MAX_LINKS]:\n",
        "            for url in links[:1]:\n",
    ),
    Rule(
        "paid and not archived is not in flight",
        "report/manifest",
        "else ClipStatus.not_archived",
        "else ClipStatus.in_flight",
    ),
    Rule(
        "a video is stored before its record",
        "clips/archive",
        "            await self._store(intent.fingerprint, file, sha256=sha256, name=intent.name)\n",
        "",
    ),
    Rule(
        "a stored video is never overwritten",
        "clips/archive",
        'clip-{sha256[:_DIGEST_DIGITS]}.mp4"',
        'clip-000000000000.mp4"',
    ),
)


@contextmanager
def _broken(rule: Rule) -> Iterator[Path]:
    """Yield a copy of the project with one rule broken."""
    with tempfile.TemporaryDirectory(prefix="breaking-") as name:
        folder = Path(name)
        for part in _PARTS:
            source = _ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
        module = folder / "prefect_seedance" / f"{rule.module}.py"
        module.write_text(rule.break_in(folder), encoding="utf-8")
        yield folder


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def _first_failure(folder: Path, files: Sequence[str]) -> str:
    run = _run(folder, "pytest", "-q", "-x", "-p", "no:cacheprovider", *files)
    if run.returncode == 0:
        return _NOTHING
    found = re.search(r"^(?:FAILED|ERROR) \S+?(\w+\.py(?:::\w+)?)", run.stdout, re.MULTILINE)
    return f"`{found[1]}`" if found else "no test ran"


def _campaign(folder: Path, *, clips: int, kills: int, seed: int) -> str:
    words = ("--clips", clips, "--kills", kills, "--seed", seed, "--workers", 2, "--seconds", 900)
    run = _run(folder, "benchmarks.campaign", *map(str, words))
    found = re.search(r"VIOLATION \S+ ?\S* ?\d*: (.*)", run.stderr)
    return re.sub(r"/\S*/archive/", "", found[1])[:110] if found else _NOTHING


@app.default
def breaking(
    *,
    rule: Annotated[tuple[str, ...], Parameter(help="Part of a rule's name. Default: all rules.")] = (),
    clips: Annotated[int, Parameter(help="Clips of each short campaign.")] = 100,
    kills: Annotated[int, Parameter(help="Kills in each short campaign.")] = 20,
    seed: Annotated[int, Parameter(help="Seed of each short campaign.")] = 1,
) -> int:
    """Print a row per rule; return 0 if unit tests, and simulation or a campaign, notice every broken rule.

    A campaign runs only if the simulation notices nothing.
    """
    print("| broken rule | first unit test | first simulation | a campaign's first violation |")
    print("| --- | --- | --- | --- |")
    unnoticed = 0
    for each in RULES:
        if rule and not any(part in each.name for part in rule):
            continue
        with _broken(each) as folder:
            units, simulation = _first_failure(folder, _UNITS), _first_failure(folder, _SIMULATION)
            is_left = simulation == _NOTHING
            campaign = _campaign(folder, clips=clips, kills=kills, seed=seed) if is_left else ""
        print(f"| {each.name} | {units} | {simulation} | {campaign} |", flush=True)
        unnoticed += _NOTHING in (units, campaign)
    return min(unnoticed, 1)


if __name__ == "__main__":
    sys.exit(app())
