"""Everything that can go wrong, whether it may be repeated, and whether money may be gone.

```
SeedanceError                     transient   outcome known
├── ApiError
│   ├── AuthenticationError           no          yes     401
│   ├── InvalidRequestError           no          yes     400 and every other 4xx
│   │   └── NotFoundError             no          yes     404
│   ├── ContentRejectedError          no          yes     403, or a failCode about content
│   ├── InsufficientFundsError        no          yes     402
│   ├── RateLimitedError              yes         yes     429
│   └── ServerError                   yes         no      5xx
├── ConnectionFailedError             yes         yes     nothing was sent
├── NoAnswerError                     yes         no      sent, and no usable answer
├── SubmissionUnresolvedError         no          no      a paid generation may exist
├── GenerationFailedError             no          yes     it ended without a video
├── DeadlineError                     no          yes     we stopped waiting; it goes on
├── ArchiveError                      no          yes     bytes could not be stored
│   ├── LinkExpiredError              no          yes     the result's URL is no longer served
│   └── IntegrityError                yes         yes     bytes incomplete or not decodable
├── SetupError                        no          yes     options or environment, nothing spent
└── StoryboardError                   no          yes     file, line, remedy
```
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar


class SeedanceError(Exception):
    """Base of every error that leaves this package.

    Attributes:
        transient: Asking the same again later may succeed.
        outcome_known: It is certain that the failed request started no generation.
    """

    transient: ClassVar[bool] = False
    outcome_known: ClassVar[bool] = True


def may_repeat_read(error: BaseException) -> bool:
    """Tell whether a request that costs nothing may be sent again after this error."""
    return isinstance(error, SeedanceError) and error.transient


def may_repeat_submission(error: BaseException) -> bool:
    """Tell whether a paid request may be sent again: only if nothing can have been started."""
    return isinstance(error, SeedanceError) and error.transient and error.outcome_known


class ApiError(SeedanceError):
    """The API answered, and the answer is no.

    Args:
        message: What the API said, in a sentence for people.
        code: The envelope's code, or the HTTP status if they disagree in the API's favour.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class AuthenticationError(ApiError):
    """The API key is missing or wrong (401)."""


class InvalidRequestError(ApiError):
    """The API refuses the request as it is (400 and other 4xx)."""


class NotFoundError(InvalidRequestError):
    """The API knows no such model or generation (404); a new generation may not be visible yet."""


class ContentRejectedError(ApiError):
    """The API refuses the content by its policy, or the key lacks access (403)."""


class InsufficientFundsError(ApiError):
    """The account's balance is too low (402)."""


class RateLimitedError(ApiError):
    """The account's request or concurrency limit is reached (429); nothing was started.

    Args:
        message: What the API said.
        code: As for every `ApiError`.
        retry_after_seconds: What the API asks us to wait, if it says so.
    """

    transient = True

    def __init__(
        self, message: str, *, code: int | None = 429, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


class ServerError(ApiError):
    """The API or a gateway before it broke down (5xx), perhaps after it had started something."""

    transient = True
    outcome_known = False


class ConnectionFailedError(SeedanceError):
    """No connection came about, so nothing was sent."""

    transient = True


class NoAnswerError(SeedanceError):
    """The request was sent, and no usable answer came back."""

    transient = True
    outcome_known = False


class SubmissionUnresolvedError(SeedanceError):
    """A submission was sent, and nobody knows whether it was accepted and billed."""

    outcome_known = False


class GenerationFailedError(SeedanceError):
    """A generation ended without a video."""


class DeadlineError(SeedanceError):
    """We stopped waiting; what was waited for goes on."""


class ArchiveError(SeedanceError):
    """A video could not be fetched or stored."""


class LinkExpiredError(ArchiveError):
    """The API no longer serves the video under this URL."""


class IntegrityError(ArchiveError):
    """The bytes that arrived are incomplete or cannot be decoded."""

    transient = True


class SetupError(SeedanceError):
    """An option, a credential or the environment is wrong; nothing was spent."""


class StoryboardError(SeedanceError):
    """What the author wrote cannot be produced; the message lists every mistake with its place."""


class FailKind(StrEnum):
    """Why a generation failed, as far as it decides what may be done next."""

    content = "content"
    """Against the provider's policy: change the prompt or the image."""
    input = "input"
    """The request cannot be worked with: mend it."""
    passing = "passing"
    """A new generation may succeed."""
    money = "money"
    """The balance did not suffice."""
    unknown = "unknown"
    """A code nobody has documented."""


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
            "INVALID_IMAGE_URL",
            "PromptLengthExceeded",
            "PROMPT_TOO_LONG",
            "INVALID_PROMPT",
            "IMAGE_TOO_LARGE",
            "UNSUPPORTED_FORMAT",
            "IMAGE_DOWNLOAD_FAILED",
        }
    ),
    FailKind.passing: frozenset({"PROCESSING_TIMEOUT", "MODEL_UNAVAILABLE", "GENERATION_FAILED"}),
    FailKind.money: frozenset({"INSUFFICIENT_CREDITS"}),
}
"""Source: the provider's public pages and the project's specification, read 2026-11."""


def fail_kind(fail_code: str) -> FailKind:
    """Sort a failed generation's ``failCode`` by what may be done about it."""
    return next((kind for kind, codes in _FAIL_CODES.items() if fail_code in codes), FailKind.unknown)
