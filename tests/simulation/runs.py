"""Runs of one clip in simulated processes, with the product's own session and steps."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import SecretStr

from prefect_seedance.api.callback_urls import Secrets
from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.clips.archive import Clip, find_clip
from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.clips.records import Result
from prefect_seedance.clips.retry import failure
from prefect_seedance.clips.unresolved import Resolver
from prefect_seedance.errors import GenerationFailedError, SeedanceError, SubmissionUnresolvedError
from prefect_seedance.options import RetryPolicy, Waiting
from prefect_seedance.production.rescue import Rescuer
from prefect_seedance.production.session import OpenArchive, Session
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.steps import PlainSteps
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip
from tests.simulation.api import BASE_URL, KEY, ScriptedApi
from tests.simulation.clock import Process, World
from tests.simulation.network import Wire
from tests.simulation.store import Bucket, ScriptedStore
from tests.simulation.video import video

REQUEST_SECONDS = 60.0
"""Bound of one request, the default."""

CALLBACK_SECRET = "s" * 32
CALLBACK_SECRETS = Secrets.parse(CALLBACK_SECRET)
CLIP = PlannedClip(
    name="dawn → noon",
    prompt="drifting clouds",
    images=(),
    settings=ClipSettings(),
    number=1,
    fingerprint="f" * 32,
)

_LATEST_SECONDS = 150.0
"""How long after its deadline a run may end: the answer to its last submission may still be on its way."""

_RESOLVING_SECONDS = 200.0
"""Longer than any run may take to record an answer."""

_PROCESSES = itertools.count()
"""Numbers of keys, because the product keeps the limits of a key for a whole real process."""


@dataclass(frozen=True)
class Choices:
    """How a run makes its clip."""

    clip: PlannedClip = CLIP
    policy: RetryPolicy = RetryPolicy()
    deadline_seconds: float = 1800.0
    has_callbacks: bool = False
    waits: bool = True

    def settings(self, run: str) -> RunSettings:
        """Return the settings of a run."""
        return RunSettings(
            credentials=Credentials(
                api_key=SecretStr(f"{KEY}-{next(_PROCESSES)}"),
                base_url=BASE_URL,
                callback_secret=SecretStr(CALLBACK_SECRET),
            ),
            archive="s3://simulated",
            production="simulated",
            retry=self.policy,
            waiting=Waiting(
                deadline_seconds=self.deadline_seconds,
                timeout_seconds=REQUEST_SECONDS,
                callback_url="https://hooks.example" if self.has_callbacks else "",
                wait=self.waits,
            ),
            flow_run=FlowRunRef(name=run, id=run),
        )


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

    def process(self, name: str, *, ahead_seconds: float = 0.0) -> Process:
        """Start a process that is connected to the API."""
        process = self.world.start(name, ahead_seconds=ahead_seconds)
        process.network = Wire(self.api, process)
        return process

    def start(self, choices: Choices = Choices(), *, ahead_seconds: float = 0.0, name: str = "") -> Process:
        """Start a process that makes a clip."""
        process = self.process(name or f"run {next(self._names)}", ahead_seconds=ahead_seconds)
        process.do(self._make(process, choices))
        return process

    def finish(self, process: Process) -> Process:
        """Run until a process has ended."""
        assert self.world.run(lambda: process.has_ended), f"{process} waits for ever"
        return process

    def make(self, choices: Choices = Choices(), *, ahead_seconds: float = 0.0) -> Process:
        """Make a clip in a process of its own."""
        return self.finish(self.start(choices, ahead_seconds=ahead_seconds))

    def use(
        self, work: Callable[[Session], Coroutine[Any, Any, object]], *, name: str = "operator"
    ) -> Process:
        """Start a process that does something else with the archive and the account."""
        process = self.process(f"{name} {next(self._names)}")

        async def opened() -> None:
            async with self.session(process, Choices().settings(process.name)) as session:
                await work(session)

        process.do(opened())
        return process

    def rescue(self) -> None:
        """Archive everything that the ledger knows to be paid for, whatever the prompts are today."""

        async def rescue(session: Session) -> None:
            settings = Choices().settings("rescue")
            steps = PlainSteps(session=session, settings=settings)
            deadline = asyncio.get_running_loop().time() + settings.waiting.deadline_seconds
            rescuer = Rescuer(session=session, steps=steps, deadline=deadline)
            await rescuer.rescue_lost(await rescuer.find_lost())

        error = self.finish(self.use(rescue)).error
        assert error is None or isinstance(error, SeedanceError), error

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

        async def resolve(session: Session) -> None:
            resolver = Resolver(ledger=session.ledger, resolved_by="the author")
            if missing:
                await resolver.adopt(clip.fingerprint, missing[0], client=session.client)
            else:
                await resolver.declare_lost(clip.fingerprint)

        return self._has_resolved(resolve)

    def declare_lost(self, clip: PlannedClip = CLIP) -> bool:
        """Declare the clip's attempt lost, and return whether that was possible."""

        async def declare(session: Session) -> None:
            resolver = Resolver(ledger=session.ledger, resolved_by="the author")
            await resolver.declare_lost(clip.fingerprint)

        return self._has_resolved(declare)

    def is_archived(self, clip: PlannedClip = CLIP) -> bool:
        """Return whether a clip has a record, whose video is the whole one that the API made."""
        record = self.bucket.objects.get(f"clips/{clip.fingerprint}/clip.json")
        if record is None:
            return False
        assert self.bucket.objects[json.loads(record)["key"]] == video(), "the stored video is another one"
        return True

    def is_recorded(self, generation_id: str) -> bool:
        """Return whether the ledger has an acceptance with this id."""
        objects = self.bucket.objects.items()
        return any(
            generation_id.encode() in content for key, content in objects if key.endswith("accepted.json")
        )

    def billed_seconds(self, clip: PlannedClip) -> int:
        """Return the seconds of video that the ledger says may be billed."""
        found: list[int] = []

        async def count(session: Session) -> None:
            attempts = await session.ledger.attempts(clip.fingerprint)
            found.append(sum(attempt.billed_seconds for attempt in attempts))

        self.finish(self.use(count))
        return sum(found)

    def _has_resolved(self, work: Callable[[Session], Coroutine[Any, Any, object]]) -> bool:
        error = self.finish(self.use(work)).error
        assert error is None or isinstance(error, SeedanceError), error
        return error is None

    def opener(self, process: Process) -> OpenArchive:
        """Return what opens the archive in a process."""

        async def open_archive(_: object) -> Store:
            return ScriptedStore(self.bucket, process)

        return open_archive

    @asynccontextmanager
    async def session(self, process: Process, settings: RunSettings) -> AsyncIterator[Session]:
        """Open what a process needs, with connections of its own."""
        async with Session.open(settings, open_archive=self.opener(process)) as session:
            yield session

    async def _make(self, process: Process, choices: Choices) -> Clip | None:
        """Submit, wait and archive, as a production does for each clip; return None if it is in flight."""
        clip, settings = choices.clip, choices.settings(process.name)
        async with self.session(process, settings) as session:
            if archived := await find_clip(session.store, clip.fingerprint):
                return archived
            steps = PlainSteps(session=session, settings=settings)
            deadline = process.time() + choices.deadline_seconds
            try:
                attempt = await steps.submit(clip, deadline_seconds=deadline - process.time())
                attempt = await steps.wait(attempt, deadline_seconds=deadline - process.time())
                if attempt.outcome is None:
                    return None
                if attempt.outcome.result is not Result.success:
                    raise failure(attempt)
                return await steps.archive(attempt, deadline_seconds=deadline - process.time())
            finally:
                late = process.time() - deadline
                if late > _LATEST_SECONDS and not process.was_paused:
                    self.overdue.append(f"{process.name} ended {late:.0f} s after its deadline")
