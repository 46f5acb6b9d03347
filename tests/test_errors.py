import inspect
import pickle
import re

import pytest

from prefect_seedance import errors
from prefect_seedance.errors import (
    ApiError,
    FailKind,
    RateLimitedError,
    SeedanceError,
    fail_kind,
    may_retry_read,
    may_retry_submission,
    means_no_money,
)

_ROW = re.compile(r"^(?P<tree>[│ ]*[├└]── )(?P<name>\w+)(?: +(?P<transient>yes|no) +(?P<known>yes|no) +\S)?")


def _rows() -> list[tuple[str, str, str | None, str | None]]:
    """Read the module's docstring: each class, its parent, and its two facts."""
    rows: list[tuple[str, str, str | None, str | None]] = []
    above = ["SeedanceError"]
    for line in (errors.__doc__ or "").splitlines():
        if match := _ROW.match(line):
            depth = len(match["tree"]) // 4
            above[depth:] = [match["name"]]
            rows.append((match["name"], above[depth - 1], match["transient"], match["known"]))
    return rows


@pytest.mark.parametrize(("name", "parent", "transient", "known"), _rows(), ids=[row[0] for row in _rows()])
def test_table_matches_classes(name: str, parent: str, transient: str | None, known: str | None) -> None:
    """The docstring's tree and columns are those of the classes."""
    kind: type[SeedanceError] = getattr(errors, name)

    facts = tuple("yes" if fact else "no" for fact in (kind.transient, kind.outcome_known))

    assert kind.__bases__ == (getattr(errors, parent),)
    assert facts == (transient, known) or (transient is None and facts == ("no", "yes"))


def test_table_is_complete() -> None:
    """The docstring's tree lists every error class of the module once."""
    classes = [
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, SeedanceError) and kind is not SeedanceError
    ]

    assert sorted(row[0] for row in _rows()) == classes


@pytest.mark.parametrize(("name", "parent", "transient", "known"), _rows(), ids=[row[0] for row in _rows()])
def test_retries_follow_the_table(name: str, parent: str, transient: str | None, known: str | None) -> None:  # noqa: ARG001 -- a row has it
    """A read is retried after a transient error, a submission only if that started no generation."""
    error = getattr(errors, name)("why")

    assert may_retry_read(error) == (transient == "yes")
    assert may_retry_submission(error) == (transient == "yes" and known == "yes")


@pytest.mark.parametrize("error", [ValueError("why"), TimeoutError(), KeyboardInterrupt()], ids=repr)
def test_foreign_errors_are_final(error: BaseException) -> None:
    """An error from outside this package is never retried."""
    assert not may_retry_read(error)
    assert not may_retry_submission(error)


_FAIL_CODES = {
    FailKind.content: """
        CONTENT_VIOLATION SensitiveContent SensitiveContentDetected InputImageSensitiveContentDetected
        InputOutputSensitiveContentDetected NSFW NSFW_DETECTED ProhibitedContentDetected
    """,
    FailKind.input: """
        PromptLengthExceeded PROMPT_TOO_LONG INVALID_PROMPT IMAGE_TOO_LARGE UNSUPPORTED_FORMAT
    """,
    FailKind.image: "INVALID_IMAGE_URL IMAGE_DOWNLOAD_FAILED",
    FailKind.transient: "PROCESSING_TIMEOUT MODEL_UNAVAILABLE GENERATION_FAILED",
    FailKind.money: "INSUFFICIENT_CREDITS",
    FailKind.unknown: "SomethingNew content_violation UNKNOWN NO_RESULT",
}


@pytest.mark.parametrize(
    ("code", "kind"), [(code, kind) for kind, codes in _FAIL_CODES.items() for code in codes.split()]
)
def test_sorts_fail_codes(code: str, kind: FailKind) -> None:
    """Every documented failCode has its kind, and any other is unknown."""
    assert fail_kind(code) is kind


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("INSUFFICIENT_BALANCE", ""),
        ("UNKNOWN", "insufficient credits"),
        ("QUOTA_EXHAUSTED", ""),
        ("E7", "余额不足"),
    ],
)
def test_words_of_money_count(code: str, message: str) -> None:
    """A failure without a documented code is for lack of money if its words say so."""
    assert fail_kind(code, message) is FailKind.money


@pytest.mark.parametrize(
    "text",
    [
        "image has insufficient contrast",
        "the balance of colours is wrong",
        "a credit roll at the end",
        "prompt is too low in detail",
        "resolution too low",
        "invalid parameters",
    ],
)
def test_other_words_are_not_money(text: str) -> None:
    """A refusal about the content is not mistaken for one about the balance."""
    assert not means_no_money(text)


def test_facts_survive_pickling() -> None:
    """An error that is passed between processes keeps its code and pause."""
    error = RateLimitedError("slow down", code=429, retry_after_seconds=7.0)

    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes

    assert (str(copied), copied.code, copied.retry_after_seconds) == ("slow down", 429, 7.0)


def test_api_errors_carry_codes() -> None:
    """An API error keeps the code of the response."""
    assert ApiError("no", code=418).code == 418


def test_pins_public_names() -> None:
    """The module's public names do not change by accident."""
    public = {
        name
        for name, value in vars(errors).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == errors.__name__
    }

    assert public - {row[0] for row in _rows()} == {
        "SeedanceError", "FailKind", "fail_kind", "may_retry_read", "may_retry_submission", "means_no_money",
    }  # fmt: skip
