"""Runs of one clip in simulated processes, with the product's own steps."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from prefect_seedance.api.callback_urls import Callbacks, Secrets
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.download import Downloader
from prefect_seedance.api.wire import ClipSettings, GenerateRequest
from prefect_seedance.clips.archive import Archivist, Clip, find_clip
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.poll import Poller
from prefect_seedance.clips.records import Result
from prefect_seedance.clips.retry import failure
from prefect_seedance.clips.submit import Submitter
from prefect_seedance.clips.unresolved import Resolver
from prefect_seedance.errors import GenerationFailedError, SeedanceError, SubmissionUnresolvedError
from prefect_seedance.options import RetryPolicy
from prefect_seedance.storyboard.plan import PlannedClip
from tests.simulation.api import BASE_URL, KEY, ScriptedApi
from tests.simulation.clock import Process, World
from tests.simulation.network import Wire
from tests.simulation.store import Bucket, ScriptedStore

REQUEST_SECONDS = 60.0
"""Bound of one request, the default."""

DEADLINE_SECONDS = 1800.0
CLIP = PlannedClip(
    name="dawn → noon",
    prompt="drifting clouds",
    images=(),
    settings=ClipSettings(),
    number=1,
    fingerprint="f" * 32,
)
CALLBACKS = Callbacks(base="https://hooks.example", secrets=Secrets.parse("s" * 32))

_LATEST_SECONDS = 150.0
"""How long after its deadline a run may end: the answer to its last submission may still be on its way."""

_RESOLVING_SECONDS = 200.0
"""Longer than any run may take to record an answer."""


@dataclass
class Tools:
    """What a process needs for a clip, opened by itself."""

    process: Process
    store: ScriptedStore
    ledger: Ledger
    client: SeedanceClient
    poller: Poller
    archivist: Archivist


@dataclass(frozen=True)
class Choices:
    """How a run makes its clip."""

    clip: PlannedClip = CLIP
    policy: RetryPolicy = RetryPolicy()
    deadline_seconds: float = DEADLINE_SECONDS
    callbacks: Callbacks | None = None
    waits: bool = True


@dataclass
class Simulation:
    """A world with one API, one bucket, and processes that make clips.

    Attributes:
        overdue: The runs that ended too long after their deadlines.
    """

    world: World = field(default_factory=World)
    api: ScriptedApi = field(init=False)
    bucket: Bucket = field(init=False)
    overdue: list[str] = field(default_factory=list)
    _names: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.api = ScriptedApi(self.world)
        self.bucket = Bucket(self.world)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.world.close()

    def start(self, choices: Choices = Choices(), *, ahead_seconds: float = 0.0, name: str = "") -> Process:
        """Start a process that makes a clip."""
        process = self.world.start(name or f"run {next(self._names)}", ahead_seconds=ahead_seconds)
        process.do(self._make(process, choices))
        return process

    def finish(self, process: Process) -> Process:
        """Run until a process has ended."""
        assert self.world.run(lambda: process.has_ended), f"{process} waits for ever"
        return process

    def make(self, choices: Choices = Choices(), *, ahead_seconds: float = 0.0) -> Process:
        """Make a clip in a process of its own."""
        return self.finish(self.start(choices, ahead_seconds=ahead_seconds))

    def heal(self, clip: PlannedClip = CLIP, *, tries: int = 4) -> BaseException | None:
        """Do what an author does until the clip is archived: run again, and resolve what is unresolved.

        Returns:
            The error of the last run; None if the clip is archived.
        """
        error: BaseException | None = None
        for _ in range(tries):
            error = self.make(Choices(clip=clip)).error
            if error is None or isinstance(error, GenerationFailedError):
                break
            if isinstance(error, SubmissionUnresolvedError):
                self._resolve_soon(clip)
        return error

    def _resolve_soon(self, clip: PlannedClip) -> None:
        """Try to resolve, also if the first answer is to wait."""
        for _ in range(3):
            if self.resolve(clip):
                return
            self.world.pass_time(_RESOLVING_SECONDS)

    def resolve(self, clip: PlannedClip = CLIP) -> bool:
        """Adopt the generation in the API's books that the ledger lacks, or declare the attempt lost.

        Returns:
            Whether there was something to resolve, whose run could no longer record an answer.
        """
        ids = [sold.generation_id for sold in self.api.sold(clip.prompt)]
        missing = [generation_id for generation_id in ids if not self.is_recorded(generation_id)]

        async def resolve(tools: Tools) -> None:
            resolver = Resolver(ledger=tools.ledger, resolved_by="the author")
            if missing:
                await resolver.adopt(clip.fingerprint, missing[0], client=tools.client)
            else:
                await resolver.declare_lost(clip.fingerprint)

        return self._has_resolved(resolve)

    def declare_lost(self, clip: PlannedClip = CLIP) -> bool:
        """Declare the clip's attempt lost, and return whether that was possible."""

        async def declare(tools: Tools) -> None:
            resolver = Resolver(ledger=tools.ledger, resolved_by="the author")
            await resolver.declare_lost(clip.fingerprint)

        return self._has_resolved(declare)

    def is_recorded(self, generation_id: str) -> bool:
        """Return whether the ledger has an acceptance with this id."""
        objects = self.bucket.objects.items()
        return any(
            generation_id.encode() in content for key, content in objects if key.endswith("accepted.json")
        )

    def billed_seconds(self, clip: PlannedClip) -> int:
        """Return the seconds of video that the ledger says may be billed."""
        found: list[int] = []

        async def count(tools: Tools) -> None:
            attempts = await tools.ledger.attempts(clip.fingerprint)
            found.append(sum(attempt.billed_seconds for attempt in attempts))

        self.finish(self.use(count))
        return sum(found)

    def _has_resolved(self, work: Callable[[Tools], Any]) -> bool:
        error = self.finish(self.use(work)).error
        assert error is None or isinstance(error, SeedanceError), error
        return error is None

    def use(self, work: Callable[[Tools], Any], *, name: str = "operator") -> Process:
        """Start a process that does something else with the archive and the account."""
        process = self.world.start(f"{name} {next(self._names)}")

        async def opened() -> None:
            async with self.tools(process) as tools:
                await work(tools)

        process.do(opened())
        return process

    @asynccontextmanager
    async def tools(self, process: Process) -> AsyncIterator[Tools]:
        """Open what a process needs, with connections of its own."""
        store, wire = ScriptedStore(self.bucket, process), Wire(self.api, process)
        async with (
            SeedanceClient(KEY, base_url=BASE_URL, timeout_seconds=REQUEST_SECONDS, transport=wire) as client,
            Downloader(transport=wire) as downloader,
            Poller(client) as poller,
        ):
            yield Tools(
                process=process,
                store=store,
                ledger=Ledger(store),
                client=client,
                poller=poller,
                archivist=Archivist(store=store, client=client, downloader=downloader),
            )

    async def _make(self, process: Process, choices: Choices) -> Clip:
        """Submit, wait and archive, as a production does for each clip."""
        async with self.tools(process) as tools:
            if clip := await find_clip(tools.store, choices.clip.fingerprint):
                return clip
            submitter = Submitter(
                client=tools.client,
                ledger=tools.ledger,
                production="simulated",
                asked_by=process.name,
                policy=choices.policy,
                callbacks=choices.callbacks,
                waits=choices.waits,
            )
            deadline = process.time() + choices.deadline_seconds

            async def compose() -> GenerateRequest:
                return GenerateRequest(input=choices.clip.input([]))

            try:
                attempt = await submitter.submit(choices.clip, compose=compose, deadline=deadline)
                attempt = await tools.poller.wait(attempt, ledger=tools.ledger, deadline=deadline)
                if attempt.outcome and attempt.outcome.result is not Result.success:
                    raise failure(attempt)
                return await tools.archivist.archive(attempt, deadline=deadline)
            finally:
                late = process.time() - deadline
                if late > _LATEST_SECONDS and not process.was_paused:
                    self.overdue.append(f"{process.name} ended {late:.0f} s after its deadline")
