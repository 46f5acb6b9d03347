"""One clip as a job block of Prefect: trigger it, wait for it, fetch its result."""

import asyncio
from dataclasses import dataclass
from typing import Self

from prefect.blocks.abstract import JobBlock, JobRun
from pydantic import Field

from prefect_seedance import options
from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.clips.archive import Clip, find_clip
from prefect_seedance.clips.records import Attempt, clip_prefix
from prefect_seedance.clips.retry import decisive, failure
from prefect_seedance.clips.unresolved import wait_until_resolved
from prefect_seedance.doors import Door, through
from prefect_seedance.errors import SetupError
from prefect_seedance.options import Hosting, Loading, RetryPolicy, Waiting, describe
from prefect_seedance.orchestration.blocks import ClipArchive, SeedanceCredentials, open_archive
from prefect_seedance.orchestration.cancellation import cancel_on_signal
from prefect_seedance.orchestration.flow_runs import current_run
from prefect_seedance.orchestration.produce import warn
from prefect_seedance.orchestration.run_sync import run_sync
from prefect_seedance.orchestration.session import shared_session
from prefect_seedance.orchestration.tasks import archive_clip, submit_clip, wait_for_clip
from prefect_seedance.production.prepare import prepare
from prefect_seedance.production.session import Session, archive_from_env
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.storyboard.image import Fit
from prefect_seedance.storyboard.schema import ClipList, ClipSpec, Defaults, References

_HOSTING, _LOADING, _RETRY, _WAITING = Hosting(), Loading(), RetryPolicy(), Waiting()


@dataclass(frozen=True, kw_only=True)
class SeedanceClipRun(JobRun[Clip]):
    """A submitted clip, as the ledger of its archive records it.

    It holds nothing that the ledger does not, so any process can get it again by its fingerprint.

    Attributes:
        fingerprint: The clip's identity. Return this from a task, not the run, which holds the API key.
        settings: Who paid, and where the clip is stored. The deadline bounds each step by itself.
    """

    fingerprint: str
    settings: RunSettings

    def wait_for_completion(self) -> None:  # type: ignore[override]  # sync by its plain name, as Prefect's users expect
        """Call `await_for_completion` from synchronous code."""
        run_sync(self.await_for_completion)

    @through(Door.prefect)
    async def await_for_completion(self) -> None:
        """Wait until the generation has ended.

        Raises:
            DeadlineError: If the deadline comes first; the generation continues, and you can wait again.
            GenerationFailedError: If it ended without a video.
            ContentRejectedError: If its content was rejected.
            SubmissionUnresolvedError: If it is unknown whether the API accepted its submission.
            SetupError: If the ledger has no clip with this fingerprint.
        """
        async with shared_session(self.settings) as shared:
            if not await find_clip(shared.session.store, self.fingerprint):
                await self._ended(shared.session, deadline=self._deadline())

    def fetch_result(self) -> Clip:  # type: ignore[override]  # likewise
        """Call `afetch_result` from synchronous code."""
        return run_sync(self.afetch_result)

    @through(Door.prefect)
    async def afetch_result(self) -> Clip:
        """Wait for the generation, archive its video unless it is archived, and return the record.

        Raises:
            ArchiveError: As `archive_clip` does.
            SeedanceError: As `await_for_completion` does.
        """
        async with shared_session(self.settings) as shared:
            session = shared.session
            await session.store.sweep([clip_prefix(self.fingerprint)])
            if clip := await find_clip(session.store, self.fingerprint):
                return clip
            deadline = self._deadline()
            attempt = await self._ended(session, deadline=deadline)
            return await archive_clip(attempt, settings=self.settings, deadline_seconds=_left(deadline))

    async def _ended(self, session: Session, *, deadline: float) -> Attempt:
        """Wait for the attempt that decides, and return it if it succeeded."""
        attempt = decisive(await session.ledger.attempts(self.fingerprint))
        if not attempt:
            raise SetupError(
                f"The ledger of {session.store.name} has no clip {self.fingerprint}; nothing was spent. "
                "Check the fingerprint and the archive, or trigger the clip"
            )
        attempt = await wait_until_resolved(session.ledger, attempt, deadline=deadline)
        if not attempt.outcome:
            attempt = await wait_for_clip(attempt, settings=self.settings, deadline_seconds=_left(deadline))
        if attempt.has_failed:
            raise failure(attempt)
        return attempt

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.settings.waiting.deadline_seconds

    def __reduce__(self) -> str:
        raise TypeError(
            "A SeedanceClipRun holds the API key and must not be stored; pass its fingerprint on instead"
        )


class SeedanceClip(JobBlock[Clip]):
    """One clip, with the account that pays for it and the archive that stores it.

    The clip is bought once, no matter how often it is triggered, or by how many processes: later triggers
    continue the generation in flight, or reuse the archived clip. Another prompt, image, reference, setting
    or take is another clip.

    Example:
        Load a stored clip, generate and archive it, and print its key:
        ```python
        from prefect_seedance import SeedanceClip

        clip = SeedanceClip.load("BLOCK_NAME")
        run = clip.trigger()
        run.wait_for_completion()
        print(run.fetch_result().key)
        ```

        In async code, await the methods whose names begin with "a":
        ```python
        from prefect_seedance import SeedanceClip

        clip = await SeedanceClip.aload("BLOCK_NAME")
        run = await clip.atrigger()
        await run.await_for_completion()
        print((await run.afetch_result()).key)
        ```
    """

    _block_type_name = "Seedance Clip"
    _block_type_slug = "seedance-clip"
    _documentation_url = "https://github.com/prefect-seedance/prefect-seedance"  # type: ignore[assignment]  # Prefect coerces it

    prompt: str = Field(description="What happens in the clip, including sounds and camera movement.")
    images: tuple[str, ...] = Field(
        default=(),
        description="Start image and end image, only a start image, or none. Each is an https URL, an "
        "absolute path, or an object in a bucket (s3://, gs://, az://) or in a block (block:NAME/KEY).",
    )
    references: References | None = Field(
        default=None, description=Defaults.model_fields["references"].description
    )
    settings: ClipSettings = Field(default=ClipSettings(), description="Length, size, sound and camera.")
    fit: Fit = Field(default="none", description=Defaults.model_fields["fit"].description)
    take: int = Field(default=1, ge=1, description="Raise it to buy another version of the same clip.")
    credentials: SeedanceCredentials = Field(description="The account that pays.")
    archive: ClipArchive | str = Field(
        default="",
        description="Where the clip is stored: a Clip Archive block, the path of a folder, the URL of a "
        "bucket (s3://, gs://, az://), or block:NAME. Default: SEEDANCE_ARCHIVE.",
    )
    images_url: options.ImagesUrl = Field(
        default=_HOSTING.images_url, title="Images URL", description=describe(Hosting, "images_url")
    )
    images_lifetime_seconds: options.ImagesLifetime = Field(
        default=_HOSTING.images_lifetime_seconds, description=describe(Hosting, "images_lifetime_seconds")
    )
    allow_outside: options.AllowOutside = Field(
        default=_LOADING.allow_outside, description=describe(Loading, "allow_outside")
    )
    retry_failed: options.RetryFailed = Field(
        default=_RETRY.retry_failed, description=describe(RetryPolicy, "retry_failed")
    )
    retry_rejected: options.RetryRejected = Field(
        default=_RETRY.retry_rejected, description=describe(RetryPolicy, "retry_rejected")
    )
    deadline_seconds: options.Deadline = Field(
        default=_WAITING.deadline_seconds, description=describe(Waiting, "deadline_seconds")
    )
    timeout_seconds: options.Timeout = Field(
        default=_WAITING.timeout_seconds, description=describe(Waiting, "timeout_seconds")
    )
    first_poll_seconds: options.FirstPoll = Field(
        default=_WAITING.first_poll_seconds, description=describe(Waiting, "first_poll_seconds")
    )
    poll_every_seconds: options.PollEvery = Field(
        default=_WAITING.poll_every_seconds, description=describe(Waiting, "poll_every_seconds")
    )

    model: str = Field(default="", description="Id of the model. Default: the account's.")

    @classmethod
    def from_env(cls, **fields: object) -> Self:
        """Read account and archive from the environment, and take all other fields as given.

        Raises:
            SetupError: If SEEDANCE_API_KEY or SEEDANCE_ARCHIVE is not set.
        """
        known = {"credentials": SeedanceCredentials.from_env(), "archive": archive_from_env()}
        return cls.model_validate({**known, **fields})

    def trigger(self) -> SeedanceClipRun:  # type: ignore[override]  # sync by its plain name, as Prefect's users expect
        """Call `atrigger` from synchronous code."""
        return run_sync(self.atrigger)

    @through(Door.prefect)
    async def atrigger(self) -> SeedanceClipRun:
        """Submit the clip, unless that has been done, and return its run.

        Raises:
            StoryboardError: If the clip has mistakes; nothing was spent.
            SetupError: If the archive or the images' hosting is wrong; nothing was spent.
            SeedanceError: As `submit_clip` does.
        """
        name = self._block_document_name or ""
        spec = ClipSpec(
            name=name,
            prompt=self.prompt,
            images=self.images,
            references=self.references,
            take=self.take,
            fit=self.fit,
            model=self.model or None,
        )
        clips = ClipList(title=name or "clip", defaults=Defaults(**self.settings.model_dump()), clips=(spec,))
        loading = Loading(allow_outside=self.allow_outside)
        prepared = await prepare(
            clips, self._run_settings(), name=clips.title, loading=loading, open_archive=open_archive
        )
        (clip,) = prepared.plan.clips
        run = SeedanceClipRun(fingerprint=clip.fingerprint, settings=prepared.settings)
        if clip.fingerprint in prepared.archived:
            return run
        warn(prepared.warning)
        async with shared_session(run.settings):
            submitting = submit_clip(clip, settings=run.settings, deadline_seconds=self.deadline_seconds)
            await cancel_on_signal(submitting)
        return run

    def run_of(self, fingerprint: str) -> SeedanceClipRun:
        """Return the run of a clip that this account submitted into this archive.

        Args:
            fingerprint: The clip's, from its earlier run or from the ledger.
        """
        return SeedanceClipRun(fingerprint=fingerprint, settings=self._run_settings())

    def _run_settings(self) -> RunSettings:
        return RunSettings(
            credentials=self.credentials,
            archive=self.archive,
            flow_run=current_run(),
            hosting=Hosting(images_url=self.images_url, images_lifetime_seconds=self.images_lifetime_seconds),
            retry=RetryPolicy(retry_failed=self.retry_failed, retry_rejected=self.retry_rejected),
            waiting=Waiting(
                deadline_seconds=self.deadline_seconds,
                timeout_seconds=self.timeout_seconds,
                first_poll_seconds=self.first_poll_seconds,
                poll_every_seconds=self.poll_every_seconds,
            ),
        )


def _left(deadline: float) -> float:
    return deadline - asyncio.get_running_loop().time()
