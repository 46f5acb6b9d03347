"""A table of the sandbox's faults, with the expected results of a run and of a second run."""

import asyncio
import hashlib
import itertools
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image
from prefect import flow
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from pydantic import SecretStr

from prefect_seedance import Credentials, Hosting, Manifest, Waiting, produce
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.production.produce import produce as produce_plain
from prefect_seedance.report.manifest import Entry
from prefect_seedance.video.probe import probe
from tests.processes import Sandbox, free_port, sandboxes

# Prefect's own clients leave sockets open in any flow.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

_TIMEOUT_SECONDS = 3.0
"""Timeout of one request. A submission without a response is unresolved after twice this time and 5 s."""

_WAITING = Waiting(first_poll_seconds=0.2, poll_every_seconds=0.2, settling_seconds=5)
_DEADLINE_SECONDS = 600.0
"""Deadline of runs that end earlier, within minutes even on a machine that is far too busy."""

_SHORT_DEADLINE_SECONDS, _LONG_TIMEOUT_SECONDS = 15.0, 10.0
"""Deadline of lasting faults, and their timeout, as none of them hangs; enough to submit all clips on a busy
machine."""

Rule = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Run:
    """The expected result of one run for a clip.

    Attributes:
        posts: Submissions sent for it.
        accepted: Submissions that the API accepts and bills.
        says: Texts that the reason must contain.
    """

    status: str
    exit_code: int
    cause: str | None = None
    posts: int = 0
    accepted: int = 0
    says: tuple[str, ...] = ()


REUSED = Run(status="reused", exit_code=0)
CONTINUED = Run(status="made", exit_code=0)
BOUGHT = Run(status="made", exit_code=0, posts=1, accepted=1)
FAILED = Run(status="failed", exit_code=1)
OPEN = Run(
    status="unresolved",
    exit_code=3,
    cause="SubmissionUnresolvedError",
    says=("prefect-seedance resolve", "a paid generation may exist", "not submitted again"),
)
IN_FLIGHT = Run(status="in flight", exit_code=4)
NOT_ARCHIVED = Run(status="not archived", exit_code=1, posts=1, accepted=1)


@dataclass(frozen=True)
class Row:
    """A fault, with the expected results of a run under it and of a second run without it."""

    rule: Rule
    first: Run
    second: Run
    lasts: bool = False
    """Whether the fault lasts until the deadline of the first run."""

    @property
    def name(self) -> str:
        """The name of the row: its rule."""
        options = [f"{name}={value}" for name, value in self.rule.items() if name not in {"kind", "fault"}]
        return " ".join([str(self.rule["kind"]), str(self.rule["fault"]), *options])

    @property
    def prompt(self) -> str:
        """The prompt of its clip, by which the rule selects it."""
        return f"clouds [{self.name}]"


def submit(fault: str, **more: object) -> Rule:
    return {"kind": "submit", "fault": fault, **more}


def status(fault: str, **more: object) -> Rule:
    return {"kind": "status", "fault": fault, **more}


def file(fault: str, **more: object) -> Rule:
    return {"kind": "file", "fault": fault, **more}


def generation(fault: str, **more: object) -> Rule:
    return {"kind": "generation", "fault": fault, **more}


def unresolved(rule: Rule, *, accepted: int = 1) -> Row:
    """The acceptance is unknown: the clip is reported as unresolved, and never submitted again."""
    return Row(rule, replace(OPEN, posts=1, accepted=accepted), OPEN)


def refused(rule: Rule, cause: str, *, exit_code: int = 1) -> Row:
    """No generation starts, so the next run may submit again."""
    first = Run(status="not submitted", exit_code=exit_code, cause=cause, posts=1)
    return Row(rule, first, BOUGHT)


def made(rule: Rule, *, posts: int = 1) -> Row:
    """The run completes despite the fault."""
    return Row(rule, replace(BOUGHT, posts=posts), REUSED)


def paused(rule: Rule, cause: str, *says: str) -> Row:
    """The clip is bought and stays in flight until the next run archives it."""
    return Row(rule, replace(IN_FLIGHT, cause=cause, posts=1, accepted=1, says=says), CONTINUED)


def lasting(rule: Rule, *says: str, second: Run = CONTINUED) -> Row:
    """The fault lasts until the deadline; the next run archives the clip."""
    return replace(paused(rule, "DeadlineError", *says), second=second, lasts=True)


def unarchived(rule: Rule, cause: str, *says: str) -> Row:
    """No link works: the clip is paid and not archived, and the next run archives it."""
    return Row(rule, replace(NOT_ARCHIVED, cause=cause, says=(*says, "its link expires at")), CONTINUED)


def unarchived_in_time(rule: Rule) -> Row:
    """The links fail until the deadline; the next run archives the clip."""
    return replace(unarchived(rule, "DeadlineError", "before the deadline"), lasts=True)


def failed(rule: Rule, cause: str, *says: str) -> Row:
    """The clip fails for good: the reason names the next step, and no run buys it again by default."""
    end = replace(FAILED, cause=cause, says=says)
    return Row(rule, replace(end, posts=1, accepted=1), end)


def reopened(rule: Rule, cause: str, *says: str) -> Row:
    """The API reports no video until the run ends; the next run reads the status again and archives it."""
    return replace(failed(rule, cause, *says), second=CONTINUED)


SUBMIT = [
    unresolved(submit("accept-then-drop")),
    unresolved(submit("accept-then-drop", reset=True)),
    unresolved(submit("accept-then-hang")),
    *[unresolved(submit("accept-then-answer", status=code)) for code in (500, 502, 503, 504)],
    unresolved(submit("accept-then-hidden-code", code=500)),
    unresolved(submit("accept-then-garbage")),
    unresolved(submit("accept-without-id")),
    unresolved(submit("drop"), accepted=0),
    unresolved(submit("drop", reset=True), accepted=0),
    unresolved(submit("hang"), accepted=0),
    unresolved(submit("answer", status=503), accepted=0),
    unresolved(submit("garbage"), accepted=0),
    refused(submit("answer", status=400), "InvalidRequestError"),
    refused(submit("hidden-code", code=400), "InvalidRequestError"),
    Row(
        submit("answer", status=403),
        replace(FAILED, cause="ContentRejectedError", posts=1),
        replace(FAILED, cause="ContentRejectedError", says=("retry_rejected=True",)),
    ),
    made(submit("answer", status=429, times=1), posts=2),
    made(submit("answer", status=429, times=1, retry_after=1), posts=2),
    made(submit("hidden-code", code=429, times=1), posts=2),
    made(submit("slow", seconds=1)),
]

_A_WHILE = {"since": "acceptance", "until_seconds": 2}

STATUS = [
    made(status("answer", status=404, **_A_WHILE)),
    made(status("answer", status=429, times=2)),
    made(status("answer", status=429, times=1, retry_after=1)),
    *[made(status("answer", status=code, times=2)) for code in (500, 502, 503, 504)],
    made(status("answer", status=503, since="acceptance", until_seconds=8)),
    made(status("drop", times=2)),
    made(status("drop", times=2, reset=True)),
    made(status("hang", times=1)),
    made(status("slow", seconds=1, times=2)),
    made(status("garbage", times=2)),
    made(status("null-data", times=2)),
    made(status("unknown-state", times=2)),
    made(status("step-back", **_A_WHILE)),
    made(status("no-urls", times=1)),
    made(status("broken-result", times=1)),
    made(status("hidden-code", code=500, times=2)),
    made(status("hidden-code", code=429, times=1)),
    reopened(
        status("no-urls"), "GenerationFailedError", "NO_RESULT", "without a usable URL", "retry_failed=True"
    ),
    reopened(status("broken-result"), "GenerationFailedError", "NO_RESULT", "retry_failed=True"),
    paused(status("answer", status=404), "NotFoundError"),
    paused(status("answer", status=400), "InvalidRequestError"),
    paused(status("answer", status=401), "AuthenticationError"),
    paused(status("answer", status=403), "ContentRejectedError"),
    paused(status("hidden-code", code=401), "AuthenticationError"),
    lasting(status("answer", status=503), "503", "paid for once"),
    lasting(status("drop"), "paid for once"),
    lasting(status("garbage"), "paid for once"),
    lasting(status("null-data"), "has no data"),
    lasting(status("unknown-state", word="composting"), "composting"),
    lasting(status("step-back"), "processing"),
]

FILE = [
    *[made(file("truncate", at_byte=byte, times=1)) for byte in (0, 1, 1000)],
    *[made(file("truncate", at_byte=byte, consistent=True, times=1)) for byte in (1, 1000)],
    *[made(file("truncate", at_share=share, times=1)) for share in (0.5, 0.99)],
    *[made(file("truncate", at_share=share, consistent=True, times=1)) for share in (0.5, 0.99)],
    made(file("flip-bits", count=200, times=1)),
    made(file("wrong-length", by=100, times=1)),
    made(file("wrong-length", by=-100, times=1)),
    made(file("html", times=1)),
    made(file("empty", times=1)),
    made(file("expired", times=1)),
    made(file("redirect")),
    made(file("drip", bytes_per_second=20_000)),
    made(file("huge", megabytes=12)),
    made(file("no-range")),
    made(file("drop", times=1)),
    made(file("drop", reset=True, times=1)),
    made(file("hang", seconds=1, times=1)),
    made(file("slow", seconds=1)),
    *[made(file("answer", status=code, times=1)) for code in (404, 410, 429, 500, 503)],
    made(file("redirect", to="http://127.0.0.1:9/clip.mp4", times=6)),
    unarchived(file("truncate", at_share=0.9, consistent=True), "IntegrityError", "are stored as"),
    unarchived(file("flip-bits", count=20), "IntegrityError", "are stored as"),
    unarchived(file("html"), "IntegrityError", "2 sources tried"),
    unarchived(file("empty"), "IntegrityError", "2 sources tried"),
    unarchived(file("redirect", to="http://127.0.0.1:9/video.mp4"), "ArchiveError", "2 sources tried"),
    unarchived_in_time(file("truncate", at_byte=0)),
    unarchived_in_time(file("answer", status=503)),
    unarchived(file("expired"), "LinkExpiredError", "is not served (403)"),
]

_CONTENT = (
    "CONTENT_VIOLATION",
    "SensitiveContent",
    "SensitiveContentDetected",
    "InputImageSensitiveContentDetected",
    "InputOutputSensitiveContentDetected",
    "NSFW",
    "NSFW_DETECTED",
    "ProhibitedContentDetected",
)
_IMAGE = ("INVALID_IMAGE_URL", "IMAGE_DOWNLOAD_FAILED")
_INPUT = (
    "PromptLengthExceeded",
    "PROMPT_TOO_LONG",
    "INVALID_PROMPT",
    "IMAGE_TOO_LARGE",
    "UNSUPPORTED_FORMAT",
)
_OTHER = (
    "PROCESSING_TIMEOUT",
    "GENERATION_FAILED",
    "INSUFFICIENT_CREDITS",
    "NEVER_SEEN",
)

GENERATION = [
    *[
        failed(generation("fail", code=code), "ContentRejectedError", code, "Change its prompt or image")
        for code in _CONTENT
    ],
    *[
        failed(generation("fail", code=code), "GenerationFailedError", code, "Correct its prompt or image")
        for code in _INPUT
    ],
    *[
        failed(generation("fail", code=code), "GenerationFailedError", code, "The API could not fetch")
        for code in _IMAGE
    ],
    *[
        failed(generation("fail", code=code), "GenerationFailedError", code, "pay for another attempt")
        for code in _OTHER
    ],
    made(generation("take-longer", factor=8)),
    made(generation("two-urls")),
    lasting(generation("take-longer", factor=45), "still in flight"),
    lasting(
        generation("never-end"),
        "still in flight",
        second=replace(IN_FLIGHT, cause="DeadlineError", says=("paid for once",)),
    ),
]

ROWS = [*SUBMIT, *STATUS, *FILE, *GENERATION]


@dataclass(frozen=True)
class Setup:
    """The archive and sandbox of the table.

    Attributes:
        in_flow: Whether the steps run as tasks of flow runs, or as plain coroutines.
    """

    folder: Path
    sandbox: Sandbox
    in_flow: bool

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    def board(self, title: str, prompts: Sequence[str]) -> Path:
        """Write a list of clips with one image, so that the sandbox renders a single video."""
        defaults = {"resolution": "480p", "duration": 4, "sound": False}
        clips = [{"prompt": prompt, "images": ["dawn.png"]} for prompt in prompts]
        board = self.folder / f"{title}.json"
        board.write_text(json.dumps({"title": title, "defaults": defaults, "clips": clips}), encoding="utf-8")
        return board

    async def produce(
        self,
        board: Path,
        *,
        deadline_seconds: float = _DEADLINE_SECONDS,
        url: str = "",
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> Manifest:
        """Produce clips, in the current flow run or without Prefect."""
        return await (produce if self.in_flow else produce_plain)(
            board,
            archive=str(self.archive),
            credentials=Credentials(api_key=SecretStr(self.sandbox.key), base_url=url or self.sandbox.url),
            hosting=Hosting(images_url=self.sandbox.hosted),
            waiting=_WAITING.model_copy(
                update={"deadline_seconds": deadline_seconds, "timeout_seconds": timeout_seconds}
            ),
            on_incomplete="return",
        )

    async def make(
        self,
        title: str,
        prompts: Sequence[str],
        *,
        deadline_seconds: float = _DEADLINE_SECONDS,
        url: str = "",
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> Manifest:
        """Produce clips, in a separate flow or without Prefect."""
        board = self.board(title, prompts)

        async def production() -> Manifest:
            return await self.produce(
                board, deadline_seconds=deadline_seconds, url=url, timeout_seconds=timeout_seconds
            )

        return await (flow(name=f"produce {title}")(production) if self.in_flow else production)()

    def rejected(self) -> Counter[str]:
        """Count the submissions of each prompt that the current rules rejected."""
        rules = [rule for rule in self.sandbox.rules() if rule["kind"] == "submit"]
        return Counter({rule["clip"]: rule["triggered"] for rule in rules if rule["fault"] in _REJECTING})

    def accepted(self) -> Counter[str]:
        """Count the accepted submissions of each prompt."""
        return Counter(each["prompt"] for each in self.sandbox.books()["generations"])

    def stored(self, entry: Entry, file: str) -> Path:
        """Return the path of a file of a clip."""
        return self.archive / "clips" / entry.fingerprint / file


_REJECTING = {"answer", "hidden-code", "garbage", "drop", "hang"}
"""The faults of submissions under which nothing is accepted."""


@contextmanager
def _prefect(url: str, home: Path) -> Iterator[None]:
    settings = {PREFECT_API_URL: url, PREFECT_HOME: home, PREFECT_LOGGING_TO_API_ENABLED: False}
    log = logging.getLogger("prefect")
    level = log.level
    log.setLevel(logging.CRITICAL)  # otherwise Prefect formats a traceback for every row
    try:
        with temporary_settings(settings):
            yield
    finally:
        log.setLevel(level)


@pytest.fixture(scope="module", params=[True, False], ids=["tasks", "plain"])
def setup(
    request: pytest.FixtureRequest, prefect_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Setup]:
    """Set up one archive and one sandbox for the whole table, with Prefect and without."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "archive/images").mkdir(parents=True)
    Image.new("RGB", (480, 480), "#f2b48c").save(folder / "dawn.png")
    with sandboxes(folder) as start, _prefect(prefect_server, folder / "prefect"):
        sandbox = start(serve=folder / "archive/images", frame_rate=2)
        yield Setup(folder, sandbox, in_flow=request.param)


@dataclass(frozen=True)
class Result:
    """The result of one run for the clip of a row.

    Attributes:
        stored: Whether the archive contained a video afterwards.
    """

    entry: Entry
    stored: bool
    exit_code: int
    posts: int
    accepted: int


@dataclass(frozen=True)
class Table:
    """The results of both runs for all rows, by prompt."""

    setup: Setup
    first: Mapping[str, Result]
    second: Mapping[str, Result]
    totals: Mapping[str, int]


@pytest.fixture(scope="module")
def table(setup: Setup) -> Table:
    """Run the whole table twice, the second time without faults; lasting faults have a shorter deadline."""
    setup.sandbox.faults(*({**row.rule, "clip": row.prompt} for row in ROWS))
    first = _run_all(setup)
    setup.sandbox.faults()
    second = _run_all(setup)
    return Table(setup, first, second, setup.sandbox.totals())


def _run_all(setup: Setup) -> Mapping[str, Result]:
    """Run all clips once, and count the submissions."""
    lasts = [row.prompt for row in ROWS if row.lasts]
    ends = [row.prompt for row in ROWS if not row.lasts]
    before = setup.accepted()

    async def both() -> tuple[Manifest, Manifest]:
        # One after the other: a hundred other clips would use up the deadline.
        lasting = await setup.make(
            "lasts", lasts, deadline_seconds=_SHORT_DEADLINE_SECONDS, timeout_seconds=_LONG_TIMEOUT_SECONDS
        )
        return lasting, await setup.make("ends", ends)

    manifests = asyncio.run(both())
    accepted = setup.accepted() - before
    posts = accepted + setup.rejected()
    return {
        prompt: Result(
            entry,
            stored=bool(list(setup.stored(entry, "").glob("clip-*.mp4"))),
            exit_code=ExitCode[manifests[0].model_copy(update={"clips": (entry,)}).verdict.name],
            posts=posts[prompt],
            accepted=accepted[prompt],
        )
        for prompt, entry in zip(
            lasts + ends, itertools.chain(*(manifest.clips for manifest in manifests)), strict=True
        )
    }


def _check(result: Result, expected: Run) -> None:
    entry = result.entry
    assert (entry.status, entry.cause) == (expected.status, expected.cause), entry.reason
    assert (result.posts, result.accepted) == (expected.posts, expected.accepted), entry.reason
    assert result.exit_code == expected.exit_code
    assert result.stored == (entry.clip is not None)
    assert [text for text in expected.says if text not in (entry.reason or "")] == [], entry.reason


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_fault(table: Table, row: Row) -> None:
    """Each fault has the expected result, and a second run recovers what can be recovered."""
    first, second = table.first[row.prompt], table.second[row.prompt]

    _check(first, row.first)
    _check(second, row.second)
    assert first.accepted + second.accepted <= 1
    _check_archived(table.setup, second.entry)


def _check_archived(setup: Setup, entry: Entry) -> None:
    """Check an archived clip against its record and against the original video."""
    if entry.clip:
        video = setup.archive / entry.clip.key
        content = video.read_bytes()
        original = setup.sandbox.original(entry.generation_id or "")
        assert content.startswith(original)  # the `huge` fault appends padding
        assert hashlib.sha256(content).hexdigest() == entry.clip.sha256
        assert probe(video) == entry.clip.facts


def test_bill_is_correct(table: Table) -> None:
    """Each run bills exactly what the API accepted in it, except for unresolved clips."""
    for result in (*table.first.values(), *table.second.values()):
        if result.entry.status != "unresolved":
            assert result.entry.billed_seconds == 4 * result.accepted, result.entry.name


def test_key_goes_to_api_only(table: Table) -> None:
    """No file host, and no redirect target, receives the API's headers."""
    assert table.totals["foreign_headers"] == 0
    assert table.totals["duplicates"] == 0


def test_raw_result_is_kept(table: Table) -> None:
    """The ledger keeps the raw result of a success without a video."""
    entry = table.first["clouds [status broken-result]"].entry

    outcome = json.loads(
        table.setup.stored(entry, f"attempt-{entry.attempt:03}/outcome.json").read_text(encoding="utf-8")
    )

    assert outcome["generation"]["answer"]["resultJson"] == '{"resultUrls": ["http'


@pytest.mark.parametrize(
    ("code", "cause", "exit_code"),
    [(401, "AuthenticationError", 2), (402, "InsufficientFundsError", 1), (404, "ModelUnavailableError", 2)],
)
def test_refusal_stops_batch(setup: Setup, code: int, cause: str, exit_code: int) -> None:
    """After account or model are refused, no more clips are submitted; a later run makes all of them."""
    prompts = [f"account {code}, clip {number}" for number in range(24)]
    before = setup.sandbox.totals()["submits_received"]
    setup.sandbox.faults({"kind": "submit", "fault": "answer", "status": code})

    stopped = asyncio.run(setup.make(f"account {code}", prompts))
    sent = setup.sandbox.totals()["submits_received"] - before
    setup.sandbox.faults()
    # No free request shows that a model is available again. Under another name, the host is another account.
    other = setup.sandbox.url.replace("127.0.0.1", "localhost") if code == 404 else ""
    second = asyncio.run(setup.make(f"account {code}", prompts, url=other))

    assert {(entry.status, entry.cause) for entry in stopped.clips} == {("not submitted", cause)}
    assert (ExitCode[stopped.verdict.name], stopped.billed_seconds) == (exit_code, 0)
    assert sent <= 16
    assert {entry.status for entry in second.clips} == {"made"}


def test_lasting_rate_limit(setup: Setup) -> None:
    """A lasting rate limit spends nothing and causes few requests; the next run makes the clips."""
    alias = setup.sandbox.url.replace(
        "127.0.0.1", "localhost"
    )  # counts as another account for the rate limit
    prompts = [f"limit, clip {number}" for number in range(3)]
    before = setup.sandbox.totals()["submits_received"]
    setup.sandbox.faults({"kind": "submit", "fault": "answer", "status": 429})

    limited = asyncio.run(setup.make("limit", prompts, deadline_seconds=3, url=alias))
    sent = setup.sandbox.totals()["submits_received"] - before
    setup.sandbox.faults()
    second = asyncio.run(setup.make("limit", prompts, url=alias))

    assert {(entry.status, entry.cause) for entry in limited.clips} == {("not submitted", "DeadlineError")}
    assert (ExitCode[limited.verdict.name], limited.billed_seconds) == (4, 0)
    assert sent < 20
    assert {entry.status for entry in second.clips} == {"made"}


def test_outage_is_manifest(setup: Setup) -> None:
    """A run waits through an outage of reads and downloads, and buys nothing again."""
    prompts = [f"outage, clip {number}" for number in range(3)]
    before = setup.sandbox.totals()["submits_received"]
    setup.sandbox.faults(
        {"kind": "status", "fault": "drop", "until_seconds": 5},
        {"kind": "file", "fault": "answer", "status": 502, "until_seconds": 6},
    )

    manifest = asyncio.run(setup.make("outage", prompts))

    assert {entry.status for entry in manifest.clips} == {"made"}
    assert ExitCode[manifest.verdict.name] == 0
    assert setup.sandbox.totals()["submits_received"] - before == 3


def test_unreachable_api_costs_nothing(setup: Setup) -> None:
    """Without a connection nothing is sent, and the next run makes the clips."""
    prompts = ["unreachable, clip 1"]

    away = asyncio.run(
        setup.make("unreachable", prompts, url=f"http://127.0.0.1:{free_port()}", deadline_seconds=4)
    )
    second = asyncio.run(setup.make("unreachable", prompts))

    assert [(entry.status, entry.cause) for entry in away.clips] == [
        ("not submitted", "ConnectionFailedError")
    ]
    assert (ExitCode[away.verdict.name], away.billed_seconds) == (2, 0)
    assert [entry.status for entry in second.clips] == ["made"]


def test_rival_runs_share_clips(setup: Setup) -> None:
    """Two concurrent runs that share only the archive buy each clip once."""
    prompts = [f"rivals, clip {number}" for number in range(16)]
    board = setup.board("rivals", prompts)
    setup.sandbox.faults({"kind": "submit", "fault": "slow", "seconds": 0.3})

    async def rivals() -> Sequence[Manifest]:
        begin = asyncio.Barrier(2)

        async def rival(more_seconds: float) -> Manifest:
            await begin.wait()
            return await setup.produce(board, timeout_seconds=_TIMEOUT_SECONDS + more_seconds)

        run = flow(rival) if setup.in_flow else rival
        return await asyncio.gather(run(0), run(1))

    one, other = asyncio.run(rivals())

    accepted = setup.accepted()
    assert [accepted[prompt] for prompt in prompts] == [1] * 16
    assert {entry.status for entry in (*one.clips, *other.clips)} == {"made"}
    assert one.billed_seconds + other.billed_seconds == 4 * 16
