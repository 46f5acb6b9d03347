"""Any sequence of runs, faults, repairs and edits loses nothing, and buys nothing without permission."""

import sys
from collections import Counter, deque
from dataclasses import replace

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from prefect_seedance.errors import GenerationFailedError
from prefect_seedance.options import RetryPolicy
from prefect_seedance.storyboard.plan import PlannedClip
from tests.simulation.api import (
    ACCEPTED,
    BUSY,
    FAILED,
    FAILED_AFTER_ALL,
    GARBLED,
    LATE,
    LOST,
    POOR,
    RESET,
    UNHEARD,
    UNREACHABLE,
    Reply,
    Sold,
)
from tests.simulation.clock import Process
from tests.simulation.invariants import Attempts, Fence, is_known
from tests.simulation.receiver import call_back
from tests.simulation.runs import CLIP, Choices, Simulation
from tests.simulation.store import Trouble

_MAX_RUNS = 3
_CLIPS = (CLIP, CLIP.model_copy(update={"prompt": "drifting clouds at dusk", "fingerprint": "e" * 32}))
"""The clip of today's prompt, and that of the prompt as it was before an edit."""

_REPORT, _RESUBMIT, _RETRY = (
    Choices(),
    Choices(policy=RetryPolicy(on_unresolved="resubmit")),
    Choices(policy=RetryPolicy(retry_failed=True)),
)
_RUNS = st.sampled_from(
    [
        replace(run, has_callbacks=calls)
        for run in (_REPORT, _REPORT, _RESUBMIT, _RETRY)
        for calls in (False, True)
    ]
)
_REPLIES = st.sampled_from(
    [ACCEPTED, LOST, LATE, RESET, GARBLED, FAILED_AFTER_ALL, UNHEARD, FAILED, BUSY, BUSY, UNREACHABLE, POOR]
)
_TROUBLES = st.sampled_from([Trouble(fails="before"), Trouble(fails="after"), Trouble(seconds=10)])
_WHICH, _STEPS = st.integers(0, _MAX_RUNS - 1), st.integers(0, 60)


class Production(RuleBasedStateMachine):
    """One author, whose runs, computers, prompts and API do what they like.

    Attributes:
        permissions: How often the author permitted to pay for each prompt.
    """

    def __init__(self) -> None:
        super().__init__()
        self.simulation = Simulation()
        self.fence = Fence(self.simulation)
        self.edition = 0
        self.runs: list[Process] = []
        self.permissions: Counter[str] = Counter()
        self.replies: deque[Reply] = deque()
        self.troubles: deque[Trouble] = deque()
        self.odd, self.odd_until = "", 0.0
        api = self.simulation.api
        api.reply = lambda _: self.replies.popleft() if self.replies else ACCEPTED
        api.odd = lambda _: self.odd if self.is_odd and self.odd != "dead link" else ""
        api.serve = lambda *_: 404 if self.is_odd and self.odd == "dead link" else 200
        self.simulation.bucket.trouble = self._trouble

    @property
    def clip(self) -> PlannedClip:
        return _CLIPS[self.edition]

    @property
    def live(self) -> list[Process]:
        return [run for run in self.runs if not run.has_ended]

    @property
    def is_odd(self) -> bool:
        return self.simulation.world.now < self.odd_until

    @property
    def doubts(self) -> list[str]:
        """The clip's attempts without an answer."""
        return Attempts(self.simulation).undecided(self.clip.prompt)

    # What the author does

    @initialize(
        replies=st.lists(_REPLIES, max_size=3),
        troubles=st.lists(_TROUBLES, max_size=1),
        run=_RUNS,
        calls_back=st.booleans(),
    )
    def begin(self, replies: list[Reply], troubles: list[Trouble], run: Choices, *, calls_back: bool) -> None:
        """Start a run, whose first submissions and records have these fates."""
        self.replies.extend(replies)
        self.troubles.extend(troubles)
        if calls_back:
            self.simulation.api.on_end = self._call_back
        self._start(run)

    @precondition(lambda self: len(self.live) < _MAX_RUNS)
    @rule(run=_RUNS, after=_STEPS, edits=st.booleans(), ahead_seconds=st.sampled_from([0.0, 2.0, -2.0]))
    def run(self, run: Choices, after: int, ahead_seconds: float, *, edits: bool) -> None:
        """Start a run after some steps of another, of the same prompt or of another one."""
        self.edition ^= edits
        if self.live:
            self._after(0, after)
        self._start(run, ahead_seconds=ahead_seconds)

    @rule()
    def carry_on(self) -> None:
        """Run and resolve, as far as that works now."""
        if self.permissions[self.clip.prompt]:
            self.simulation.heal(self.clip, tries=2)

    @rule()
    def rescue(self) -> None:
        """Archive what was paid for, whatever the prompt is today."""
        self.simulation.rescue()

    @precondition(lambda self: self.doubts)
    @rule(looks=st.booleans())
    def resolve(self, *, looks: bool) -> None:
        """Resolve what is unresolved, with or without a look at the API's books."""
        if looks:
            self.simulation.resolve(self.clip)
        elif self.simulation.declare_lost(self.clip):
            self.permissions[self.clip.prompt] += 1

    # What happens to the runs

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, 50.0, 170.0, 400.0]))
    def pass_time(self, seconds: float) -> None:
        self.simulation.world.pass_time(seconds)

    @precondition(lambda self: self.live)
    @rule(which=_WHICH, after=_STEPS, again=st.booleans())
    def cancel(self, which: int, after: int, *, again: bool) -> None:
        process = self._after(which, after)
        process.cancel()
        if again:
            process.on_step = process.cancel

    @precondition(lambda self: self.live)
    @rule(which=_WHICH, after=_STEPS, arrives=st.booleans())
    def crash(self, which: int, after: int, *, arrives: bool) -> None:
        self._after(which, after).kill(arrives=arrives)

    @precondition(lambda self: self.live)
    @rule(
        which=_WHICH,
        after=_STEPS,
        seconds=st.sampled_from([10.0, 100.0, 400.0, 4000.0]),
        sleeps=st.booleans(),
        ahead_seconds=st.sampled_from([0.0, 2.0, -2.0]),
    )
    def pause(self, which: int, after: int, seconds: float, ahead_seconds: float, *, sleeps: bool) -> None:
        """Pause a run, whose clock may be set meanwhile."""
        process = self._after(which, after)
        if process.is_active:
            process.pause(seconds, sleeps=sleeps)
            process.ahead_seconds = ahead_seconds

    # What API and bucket do

    @rule(reply=_REPLIES, trouble=st.none() | _TROUBLES)
    def treat_badly(self, reply: Reply, trouble: Trouble | None) -> None:
        """Let the next submission, and perhaps the next record, be treated like this."""
        self.replies.append(reply)
        if trouble:
            self.troubles.append(trouble)

    @rule(
        odd=st.sampled_from(["not found", "failure", "busy", "garbled", "no url", "dead link"]),
        seconds=st.sampled_from([3.0, 100.0]),
    )
    def answer_oddly(self, odd: str, seconds: float) -> None:
        """Let status reads be odd, or links dead, for a while."""
        self.odd, self.odd_until = odd, self.simulation.world.now + seconds

    @precondition(lambda self: self.simulation.api.books)
    @rule()
    def fail_generation(self) -> None:
        """Let the newest generation fail, unless it has ended."""
        *_, sold = self.simulation.api.books.values()
        if self.simulation.world.now < sold.ends:
            sold.fails = "GENERATION_FAILED"

    # What holds

    @invariant()
    def pays_as_permitted(self) -> None:
        for clip in _CLIPS:
            bought = len(self.simulation.api.sold(clip.prompt))
            assert bought <= self.permissions[clip.prompt], f"{bought} bought, see {self.permissions}"

    @invariant()
    def sends_in_time(self) -> None:
        assert not self.fence.late, self.fence.late
        assert not self.simulation.overdue, self.simulation.overdue
        assert not self.simulation.api.violations, self.simulation.api.violations

    @invariant()
    def forgets_no_id(self) -> None:
        """An id that arrived is known, once its run has ended by itself."""
        ended = {run.name: run for run in self.runs if run.has_ended and not run.is_dead}
        for sold in self.simulation.api.books.values():
            if sold.reached and sold.post.process in ended:
                assert is_known(self.simulation, sold, ended[sold.post.process]), sold.generation_id

    def teardown(self) -> None:
        """Let everything end, repair what a person can repair, and check what is left."""
        try:
            if sys.exc_info()[0] is None:
                self._settle()
        finally:
            self.simulation.world.close()

    def _settle(self) -> None:
        world = self.simulation.world
        self.replies.clear()
        self.troubles.clear()
        world.pass_time(200)
        assert world.run(lambda: not self.live, seconds=7200), f"{self.live} wait for ever"
        self.simulation.rescue()
        for clip in _CLIPS:
            self._check_rescued(clip)
        for clip in _CLIPS:
            if self.permissions[clip.prompt]:
                error = self.simulation.heal(clip)
                assert error is None or isinstance(error, GenerationFailedError), error
                self._check_rescued(clip)
                self._check_bill(clip)
        self.pays_as_permitted()
        self.sends_in_time()

    def _check_rescued(self, clip: PlannedClip) -> None:
        """Check that a video whose id the ledger has is archived."""
        known = [
            sold
            for sold in self.simulation.api.sold(clip.prompt)
            if self.simulation.is_recorded(sold.generation_id) and not sold.fails
        ]
        assert self.simulation.is_archived(clip) or not known, f"{clip.prompt} is not archived"

    def _check_bill(self, clip: PlannedClip) -> None:
        """Check that the bill covers what the API's books say."""
        sold = self.simulation.api.sold(clip.prompt)
        billed = self.simulation.billed_seconds(clip)
        assert billed >= sum(each.seconds for each in sold), f"{billed} s billed, {len(sold)} bought"

    def _start(self, run: Choices, *, ahead_seconds: float = 0.0) -> None:
        prompt = self.clip.prompt
        self.permissions[prompt] += (run.policy != RetryPolicy()) + (not self.permissions[prompt])
        self.runs.append(self.simulation.start(replace(run, clip=self.clip), ahead_seconds=ahead_seconds))

    def _after(self, which: int, steps: int) -> Process:
        """Return a run after some more steps of it."""
        process = self.live[which % len(self.live)]
        target = process.steps + steps
        self.simulation.world.run(lambda: process.steps >= target or process.has_ended, seconds=60)
        return process

    def _trouble(self, operation: str, _: str) -> Trouble | None:
        return self.troubles.popleft() if operation == "create" and self.troubles else None

    def _call_back(self, sold: Sold) -> None:
        call_back(self.simulation, sold)


TestProduction = Production.TestCase
TestProduction.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    print_blob=False,
    phases=[Phase.generate],
)
