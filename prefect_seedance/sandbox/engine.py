"""The engine that runs accepted generations."""

import asyncio
import secrets

from prefect_seedance.sandbox.books import Account, Books
from prefect_seedance.sandbox.callbacks import CallbackSender
from prefect_seedance.sandbox.clock import now
from prefect_seedance.sandbox.contract import Submission, identity
from prefect_seedance.sandbox.envelope import RefusalError
from prefect_seedance.sandbox.fate import Failure, Fate, default_fate
from prefect_seedance.sandbox.faults import Faults, Subject
from prefect_seedance.sandbox.fetching import Fetcher, FetchError
from prefect_seedance.sandbox.generation import Generation, Video
from prefect_seedance.sandbox.images import UnusableImageError
from prefect_seedance.sandbox.media import MediaLimits, Medium, UnusableMediaError, check_lengths
from prefect_seedance.sandbox.models import LimitedInput
from prefect_seedance.sandbox.options import Settings
from prefect_seedance.sandbox.renderer import Renderer


class Engine:
    """Accept submissions and run each generation in its own task."""

    def __init__(
        self,
        settings: Settings,
        *,
        books: Books,
        faults: Faults,
        renderer: Renderer,
        fetcher: Fetcher,
        callback_sender: CallbackSender,
    ) -> None:
        self._settings = settings
        self._books = books
        self._faults = faults
        self._studio = renderer
        self._fetcher = fetcher
        self._callback_sender = callback_sender
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, submission: Submission, *, model: str, api_key: str, origin: str) -> Generation:
        """Start a generation and bill it.

        Raises:
            RefusalError: The balance does not cover it, or too many generations are in flight.
        """
        self._check_limits(submission)
        generation = Generation(
            task_id=f"task_{secrets.token_hex(8)}",
            model=model,
            submission=submission,
            api_key=api_key,
            origin=origin,
            fate=self._fate(submission, model=model),
        )
        task = asyncio.create_task(self._run(self._books.accept(generation)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if generation.fate.delivery.before_answer:
            await asyncio.wait([task])
        return generation

    def _check_limits(self, submission: Submission) -> None:
        balance = self._settings.balance_seconds
        if balance is not None and self._books.paid_seconds + submission.input.duration > balance:
            raise RefusalError(402, f"the balance does not cover another {submission.input.duration} seconds")
        if self._books.in_flight >= self._settings.max_in_flight:
            self._books.over_limits += 1
            raise RefusalError(
                429, f"limit reached: {self._settings.max_in_flight} generations are in flight"
            )

    def _fate(self, submission: Submission, *, model: str) -> Fate:
        requested = identity(model, submission)
        nth = len(self._books.accepted[requested])
        fate = default_fate(
            f"{self._settings.seed} {requested} {nth}",
            duration=submission.input.duration,
            speed=self._settings.speed,
        )
        fate = self._faults.draw(Subject("generation", submission.input.prompt, model=model)).alter_fate(fate)
        if submission.request_type == "callback":
            fate = self._faults.draw(Subject("callback", submission.input.prompt, model=model)).alter_fate(
                fate
            )
        return fate

    async def _run(self, account: Account) -> None:
        generation = account.generation
        try:
            await asyncio.sleep(generation.fate.pending_seconds)
            generation.begin()
            await self._callback_sender.forge(account)
            await self._process(generation)
        finally:
            self._books.in_flight -= 1
        if generation.submission.request_type == "callback":
            await self._callback_sender.deliver(account)

    async def _process(self, generation: Generation) -> None:
        ready_at = now() + generation.fate.processing_seconds
        try:
            video = None if generation.fate.failure else await self._produce(generation)
        except FetchError as error:
            generation.fail(error.failure)
            return
        except (UnusableImageError, UnusableMediaError) as error:
            generation.fail(Failure("UNSUPPORTED_FORMAT", str(error)))
            return
        await asyncio.sleep(ready_at - now())
        generation.end(video)

    async def _produce(self, generation: Generation) -> Video:
        requested = generation.submission.input
        images = [
            self._studio.keep(await self._fetcher.fetch(url, origin=generation.origin))
            for url in requested.image_urls
        ]
        if isinstance(requested, LimitedInput):
            await self._check_media(requested, origin=generation.origin)
        return await self._studio.make(requested, images if requested.has_frames else [])

    async def _check_media(self, requested: LimitedInput, *, origin: str) -> None:
        kinds: tuple[tuple[Medium, tuple[str, ...], MediaLimits], ...] = (
            ("video", requested.video_urls, requested.limits.videos),
            ("audio", requested.audio_urls, requested.limits.audios),
        )
        for medium, urls, limits in kinds:
            files = [
                self._studio.keep(await self._fetcher.fetch(url, origin=origin, max_bytes=limits.max_bytes))
                for url in urls
            ]
            await asyncio.to_thread(check_lengths, files, medium, limits=limits)

    async def reset(self) -> None:
        """Stop all generations and empty the books."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._books.clear()
