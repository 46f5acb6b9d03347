from datetime import UTC, datetime, timedelta

import pytest

from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.finality import Answer, OddAnswers, Oddity, is_final, outcome_of
from prefect_seedance.clips.records import NO_RESULT, Result
from prefect_seedance.errors import (
    AuthenticationError,
    NoAnswerError,
    NotFoundError,
    RedirectedError,
    ServerError,
)
from tests.status_api import accepted

NOT_FOUND = NotFoundError("no", code=404)
OUTAGE = ServerError("down", code=503)


def generation(state: str, *urls: str, **more: object) -> Generation:
    return Generation.model_validate({"generation_id": "task_1", "state": state, "result_urls": urls, **more})


NO_URL = generation("success")
PROCESSING = generation("processing")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(NOT_FOUND, Oddity.not_found, id="404"),
        pytest.param(NO_URL, Oddity.no_url, id="no URL"),
        pytest.param(generation("success", "https://cdn/clip.mp4"), None, id="success"),
        pytest.param(generation("failed"), None, id="failed"),
        pytest.param(generation("dreaming"), None, id="unknown state"),
        pytest.param(RedirectedError("moved", code=308), Oddity.redirected, id="308"),
        pytest.param(OUTAGE, None, id="503"),
        pytest.param(AuthenticationError("no", code=401), None, id="401"),
    ],
)
def test_contradictions_are_odd(answer: Answer, expected: Oddity | None) -> None:
    """Only answers that contradict the acceptance of a generation are odd."""
    assert Oddity.of(answer) is expected


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param([NO_URL], -1, id="first"),
        pytest.param([NO_URL, NO_URL], 9, id="repeated"),
        pytest.param([NO_URL, NO_URL, NO_URL], 19, id="repeated twice"),
        pytest.param([NO_URL, NOT_FOUND], -1, id="another oddity"),
        pytest.param([NO_URL, PROCESSING, NO_URL], -1, id="state between"),
        pytest.param([NOT_FOUND, OUTAGE, NOT_FOUND], -1, id="outage between"),
    ],
)
def test_oddity_lasts_from_first_sight(answers: list[Answer], expected: float) -> None:
    """Time counts from the arrival of the first odd answer of a kind to the request for the latest one."""
    odd = OddAnswers()

    lasted = [odd.add(answer, sent=10 * turn, received=10 * turn + 1) for turn, answer in enumerate(answers)]

    assert lasted[-1] == expected


def test_old_request_confirms_nothing() -> None:
    """An answer that arrives late, as after a suspension of the process, counts from its request."""
    odd = OddAnswers()
    odd.add(NO_URL, sent=0, received=1)

    assert odd.add(NO_URL, sent=3, received=1000) == 2


@pytest.mark.parametrize(
    ("answer", "has_settled", "expected"),
    [
        pytest.param(PROCESSING, True, False, id="processing"),
        pytest.param(generation("dreaming"), True, False, id="unknown state"),
        pytest.param(generation("failed"), False, True, id="failed"),
        pytest.param(generation("success", "https://cdn/clip.mp4"), False, True, id="success"),
        pytest.param(NO_URL, False, False, id="no URL yet"),
        pytest.param(NO_URL, True, True, id="no URL for good"),
        pytest.param(NOT_FOUND, False, False, id="404 yet"),
        pytest.param(NOT_FOUND, True, True, id="404 for good"),
        pytest.param(OUTAGE, True, False, id="503"),
        pytest.param(NoAnswerError("closed"), True, False, id="no answer"),
        pytest.param(AuthenticationError("no", code=401), False, True, id="401"),
    ],
)
def test_oddity_needs_time(answer: Answer, has_settled: bool, expected: bool) -> None:  # noqa: FBT001 -- a table's columns
    """Only odd answers have to settle before they are final, and transient errors never are."""
    assert is_final(answer, has_settled=has_settled) is expected


def test_refusal_has_no_outcome() -> None:
    """An answer that proves nothing about the generation is raised, not recorded."""
    for refusal in (NOT_FOUND, AuthenticationError("no", code=401)):
        with pytest.raises(type(refusal)):
            outcome_of(refusal, accepted())


@pytest.mark.parametrize("answer", [NOT_FOUND, NO_URL], ids=["404", "no URL"])
def test_expired_generation_has_outcome(answer: Answer) -> None:
    """A generation whose video would have expired fails, with a code that can be reopened."""
    attempt = accepted(age_seconds=timedelta(days=15).total_seconds() + 1)

    outcome = outcome_of(answer, attempt)

    assert (outcome.result, outcome.code) == (Result.failed, NO_RESULT)
    assert outcome.may_be_reopened
    assert outcome.ended_at <= datetime.now(UTC)
