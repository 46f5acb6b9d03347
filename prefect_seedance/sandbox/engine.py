"""The engine that takes accepted generations through their lives."""

import asyncio
import secrets

from prefect_seedance.sandbox.books import Account, Books
from prefect_seedance.sandbox.callbacks import Courier
from prefect_seedance.sandbox.clock import now
from prefect_seedance.sandbox.contract import Submission, identity
from prefect_seedance.sandbox.envelope import RefusalError
from prefect_seedance.sandbox.fate import Failure, Fate, foresee
from prefect_seedance.sandbox.faults import Faults, Subject
from prefect_seedance.sandbox.fetching import Fetcher, FetchError
from prefect_seedance.sandbox.generation import Film, Generation
from prefect_seedance.sandbox.options import Settings
from prefect_seedance.sandbox.pictures import UnusablePictureError
from prefect_seedance.sandbox.studio import Studio


class Engine:
    """Accepts submissions and lets each generation live in a task of its own."""

    def __init__(
        self,
        settings: Settings,
        *,
        books: Books,
        faults: Faults,
        studio: Studio,
        fetcher: Fetcher,
        courier: Courier,
    ) -> None:
        self._settings = settings
        self._books = books
        self._faults = faults
        self._studio = studio
        self._fetcher = fetcher
        self._courier = courier
        self._lives: set[asyncio.Task[None]] = set()

    async def accept(self, submission: Submission, *, model: str, api_key: str, origin: str) -> Generation:
        """Start a generation, and with it the bill.

        Raises:
            RefusalError: The balance is spent, or too many generations are in flight.
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
        life = asyncio.create_task(self._live(self._books.accept(generation)))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        if generation.fate.delivery.before_answer:
            await asyncio.wait([life])
        return generation

    def _check_limits(self, submission: Submission) -> None:
        balance = self._settings.balance_seconds
        if balance is not None and self._books.paid_seconds + submission.input.duration > balance:
            raise RefusalError(402, f"the balance does not cover {submission.input.duration} more seconds")
        if self._books.in_flight >= self._settings.max_in_flight:
            raise RefusalError(429, f"{self._settings.max_in_flight} generations are in flight already")

    def _fate(self, submission: Submission, *, model: str) -> Fate:
        asked = identity(model, submission)
        nth = len(self._books.accepted[asked])
        fate = foresee(
            f"{self._settings.seed} {asked} {nth}",
            duration=submission.input.duration,
            speed=self._settings.speed,
        )
        fate = self._faults.draw(Subject("generation", submission.input.prompt)).foretell(fate)
        if submission.request_type == "callback":
            fate = self._faults.draw(Subject("callback", submission.input.prompt)).foretell(fate)
        return fate

    async def _live(self, account: Account) -> None:
        generation = account.generation
        try:
            await asyncio.sleep(generation.fate.pending_seconds)
            generation.begin()
            await self._courier.forge(account)
            await self._process(generation)
        finally:
            self._books.in_flight -= 1
        if generation.submission.request_type == "callback":
            await self._courier.deliver(account)

    async def _process(self, generation: Generation) -> None:
        ready_at = now() + generation.fate.processing_seconds
        try:
            film = None if generation.fate.failure else await self._produce(generation)
        except FetchError as error:
            generation.fail(error.failure)
            return
        except UnusablePictureError as error:
            generation.fail(Failure("UNSUPPORTED_FORMAT", str(error)))
            return
        await asyncio.sleep(ready_at - now())
        generation.end(film)

    async def _produce(self, generation: Generation) -> Film:
        asked = generation.submission.input
        pictures = [
            self._studio.keep(await self._fetcher.fetch(url, origin=generation.origin))
            for url in asked.image_urls
        ]
        return await self._studio.make(asked, pictures)

    async def reset(self) -> None:
        """Stop all generations and forget them."""
        lives = list(self._lives)
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        self._books.clear()
