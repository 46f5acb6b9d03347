"""Every error of this package, with whether to retry it and whether money may be spent.

```
SeedanceError                     transient   outcome known
├── ApiError
│   ├── AuthenticationError           no          yes     401
│   ├── InvalidRequestError           no          yes     400 and every other 4xx
│   │   └── NotFoundError             no          yes     404
│   │       └── ModelUnavailableError no          yes     404 or 410 to a submission: the model has ended
│   ├── ContentRejectedError          no          yes     403, or a failCode about content
│   ├── InsufficientFundsError        no          yes     402, or another 4xx with such words
│   ├── BlockedError                  no          yes     4xx of a firewall or proxy, not of the API
│   ├── RedirectedError               no          yes     3xx: the base URL leads elsewhere
│   ├── RateLimitedError              yes         yes     429
│   └── ServerError                   yes         no      5xx
├── ConnectionFailedError             yes         yes     nothing was sent
├── ForbiddenHostError            no          yes     a URL leads to a host that may not be read from
├── NotSentError                      no          yes     held back, because its time was over
├── NoAnswerError                     yes         no      sent, and no usable answer
├── SubmissionUnresolvedError         no          no      a paid generation may exist
├── GenerationFailedError             no          yes     ended without a video
├── DeadlineError                     no          yes     the wait ended; the generation continues
├── ArchiveError                      no          yes     a video could not be fetched or stored
│   ├── UnreadableRecordError         no          yes     a record is damaged, or of a newer version
│   ├── LinkExpiredError              no          yes     the result's URL is not served
│   ├── IntegrityError                yes         yes     bytes incomplete or not decodable
│   └── TemporaryFileError            no          yes     a local temporary file cannot be written
├── SeamError                         no          yes     less similar than required
├── IncompleteError                   no          yes     a production ended, and clips are missing
├── SetupError                        no          yes     options or environment, nothing spent
│   └── BudgetError                   no          yes     a run would buy more than it may
└── StoryboardError                   no          yes     file, line, remedy
```
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Final


class SeedanceError(Exception):
    """Base of every error that leaves this package.

    Attributes:
        transient: Whether the same request may succeed later.
        outcome_known: Whether the failed request certainly started no generation.
    """

    transient: ClassVar[bool] = False
    outcome_known: ClassVar[bool] = True


def may_retry_read(error: BaseException) -> bool:
    """Return whether a request that costs nothing may be sent again after this error."""
    return isinstance(error, SeedanceError) and error.transient


def may_retry_submission(error: BaseException) -> bool:
    """Return whether a paid request may be sent again: only if it cannot have started a generation."""
    return isinstance(error, SeedanceError) and error.transient and error.outcome_known


class ApiError(SeedanceError):
    """The API responded with an error.

    Args:
        message: The API's message, in a sentence for people.
        code: The HTTP status, or the envelope's code if the status is a success.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class AuthenticationError(ApiError):
    """The API key is missing or wrong (401)."""


class InvalidRequestError(ApiError):
    """The API refuses the request as invalid (400 and other 4xx)."""


class NotFoundError(InvalidRequestError):
    """The API does not know the model or generation (404); a new generation may not be visible yet."""


class ModelUnavailableError(NotFoundError):
    """The API does not serve the model, no longer or not under this id (404 or 410 to a submission)."""


class ContentRejectedError(ApiError):
    """The content violates the API's policy, or the key lacks access (403)."""


class InsufficientFundsError(ApiError):
    """The account's balance is too low (402, or another refusal that says so)."""


class BlockedError(ApiError):
    """A firewall or proxy before the API refused a submission (4xx), which says nothing about its content."""


class RedirectedError(ApiError):
    """The base URL redirects (3xx); no redirect is followed, so the request did not reach the API."""


class RateLimitedError(ApiError):
    """The account's request or concurrency limit is reached (429); nothing was started.

    Args:
        message: The API's message.
        code: As in `ApiError`.
        retry_after_seconds: Pause that the API requests; None if it requests none.
    """

    transient = True

    def __init__(
        self, message: str, *, code: int | None = 429, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


class ServerError(ApiError):
    """The API or its gateway failed (5xx), possibly after a generation was started."""

    transient = True
    outcome_known = False


class ConnectionFailedError(SeedanceError):
    """The connection could not be established, so nothing was sent."""

    transient = True


class ForbiddenHostError(SeedanceError):
    """A URL from outside leads to a host that is neither public nor allowed; nothing was sent to it."""


class NotSentError(SeedanceError):
    """A paid request was held back, because the time to send it was over or the run was stopped."""


class NoAnswerError(SeedanceError):
    """The request was sent, and no usable response arrived."""

    transient = True
    outcome_known = False


class SubmissionUnresolvedError(SeedanceError):
    """A submission was sent, and it is unknown whether the API accepted and billed it."""

    outcome_known = False


class GenerationFailedError(SeedanceError):
    """A generation ended without a video."""


class DeadlineError(SeedanceError):
    """A wait reached its deadline; the generation continues."""


class ArchiveError(SeedanceError):
    """A video could not be fetched or stored."""


class UnreadableRecordError(ArchiveError):
    """A record in the archive is damaged, or a newer version wrote it in a way that this one cannot read."""


class LinkExpiredError(ArchiveError):
    """The API does not serve the video under this URL, no longer or not yet."""


class IntegrityError(ArchiveError):
    """The bytes that arrived are incomplete or cannot be decoded."""

    transient = True


class TemporaryFileError(ArchiveError):
    """A temporary file of this machine cannot be written, whatever the source of its bytes."""


class SeamError(SeedanceError):
    """A clip is less similar to its images or neighbours than required."""


class IncompleteError(SeedanceError):
    """A production ended without all of its clips; its manifest is stored."""


class SetupError(SeedanceError):
    """An option, a credential or the environment is wrong; nothing was spent."""


class BudgetError(SetupError):
    """A run would buy more seconds of video than it may; nothing was spent."""


class StoryboardError(SeedanceError):
    """The storyboard has errors; the message lists each with its file and line."""


class FailKind(StrEnum):
    """Why a generation failed, as far as this decides the next step."""

    content = "content"
    """The content violates the provider's policy: change the prompt or the image."""
    input = "input"
    """The request is invalid: correct it."""
    image = "image"
    """The API could not fetch an image: check its URL."""
    transient = "passing"
    """A new generation may succeed."""
    money = "money"
    """The balance was too low."""
    unknown = "unknown"
    """The code is not documented, or a newer version recorded a kind that this one does not know."""

    @classmethod
    def _missing_(cls, _: object) -> "FailKind":
        return cls.unknown


_FAIL_CODES: Mapping[FailKind, frozenset[str]] = {
    FailKind.content: frozenset(
        {
            "CONTENT_VIOLATION",
            "SensitiveContent",
            "SensitiveContentDetected",
            "InputImageSensitiveContentDetected",
            "InputOutputSensitiveContentDetected",
            "NSFW",
            "NSFW_DETECTED",
            "ProhibitedContentDetected",
        }
    ),
    FailKind.input: frozenset(
        {
            "PromptLengthExceeded",
            "PROMPT_TOO_LONG",
            "INVALID_PROMPT",
            "IMAGE_TOO_LARGE",
            "UNSUPPORTED_FORMAT",
        }
    ),
    FailKind.image: frozenset({"INVALID_IMAGE_URL", "IMAGE_DOWNLOAD_FAILED"}),
    FailKind.transient: frozenset({"PROCESSING_TIMEOUT", "MODEL_UNAVAILABLE", "GENERATION_FAILED"}),
    FailKind.money: frozenset({"INSUFFICIENT_CREDITS"}),
}
"""Source: the provider's public pages and the project's specification, read 2026-11."""


MODEL_UNAVAILABLE: Final = "MODEL_UNAVAILABLE"
"""The ``failCode`` of a model that has ended, or is out of order."""

_MONEY: Final = r"(credits?|balance|funds?|money|quota)"
_LACK: Final = r"(insufficient|not enough|too low|exhausted|depleted|used up|r[au]n out|out of|no remaining)"
_NO_MONEY: Final = re.compile(
    rf"\b{_LACK}\W+(\w+\W+){{0,2}}{_MONEY}\b"
    rf"|\b{_MONEY}\W+(\w+\W+){{0,3}}{_LACK}"
    r"|\b(payment required|top[ -]?up|recharge)\b|余额不足|欠费",
    re.IGNORECASE,
)
"""What gateways say instead of answering 402. Source: the provider's public pages, read 2026-11-25, show
``Insufficient credits`` with 400; the variants are a precaution."""


def means_no_money(text: str) -> bool:
    """Return whether a message or code of the API means that the balance is too low."""
    return _NO_MONEY.search(text.replace("_", " ")) is not None


def fail_kind(fail_code: str, message: str = "") -> FailKind:
    """Return the kind of failure that a ``failCode`` of the API denotes, or else its message."""
    known = next((kind for kind, codes in _FAIL_CODES.items() if fail_code in codes), FailKind.unknown)
    if known is FailKind.unknown and means_no_money(f"{fail_code}: {message}"):
        return FailKind.money
    return known
