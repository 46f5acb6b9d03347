"""One generation: its request, its course and its state."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from prefect_seedance.sandbox.clock import now, unix_ms
from prefect_seedance.sandbox.contract import Submission, identity
from prefect_seedance.sandbox.fate import Failure, Fate

State = Literal["pending", "processing", "success", "failed"]


@dataclass(frozen=True)
class Video:
    """A rendered video."""

    path: Path
    digest: str


@dataclass
class Generation:
    """An accepted submission on its way to a video."""

    task_id: str
    model: str
    submission: Submission
    api_key: str
    origin: str
    """The base URL of the submission, without a trailing slash; result URLs begin with it."""
    fate: Fate
    state: State = "pending"
    created_ms: int = field(default_factory=unix_ms)
    created_at: float = field(default_factory=now)
    started_at: float = 0.0
    ended_at: float = 0.0
    failure: Failure | None = None
    video: Video | None = None

    @cached_property
    def identity(self) -> str:
        """The key that all submissions for the same video share."""
        return identity(self.model, self.submission)

    @property
    def prompt(self) -> str:
        """The prompt of the clip."""
        return self.submission.input.prompt

    @property
    def age_seconds(self) -> float:
        """Seconds since the generation was accepted."""
        return now() - self.created_at

    @property
    def in_flight(self) -> bool:
        """Whether it counts towards the limit of concurrent generations."""
        return self.state in ("pending", "processing")

    def begin(self) -> None:
        """Change the state from pending to processing."""
        self.state, self.started_at = "processing", now()

    def end(self, video: Video | None) -> None:
        """End with a video, or with the failure that the fate specifies."""
        self.video = video
        self._end("success" if video else "failed", self.fate.failure)

    def fail(self, failure: Failure) -> None:
        """End without a video."""
        self._end("failed", failure)

    def _end(self, state: State, failure: Failure | None) -> None:
        self.failure = failure
        self.state, self.ended_at = state, now()

    def result_urls(self) -> Sequence[str]:
        """Return the URLs of the videos."""
        return [
            f"{self.origin}/files/{self.task_id}-{number}.mp4" for number in range(1, self.fate.videos + 1)
        ]

    def status(self) -> dict[str, object]:
        """Return the `data` of a status response."""
        data: dict[str, object] = {"taskId": self.task_id, "state": self.state, "createTime": self.created_ms}
        if self.in_flight:
            return data
        data["completeTime"] = self.created_ms + round((self.ended_at - self.created_at) * 1000)
        data["costTime"] = round((self.ended_at - self.started_at) * 1000)
        if self.failure is not None:
            return data | {"failCode": self.failure.code, "failMsg": self.failure.message}
        return data | {"resultJson": json.dumps({"resultUrls": self.result_urls()})}
