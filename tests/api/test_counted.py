"""Counting the requests to the API."""

import asyncio
from contextlib import suppress

import httpx
import pytest
from opentelemetry.sdk.metrics.export import NumberDataPoint

from prefect_seedance.api.permit import Permit, check_permit
from prefect_seedance.errors import NotSentError
from prefect_seedance.telemetry import RATE_LIMITED, REQUESTS
from tests.api.test_client import ACCEPTED, PENDING, REQUEST, Script, Silence, client, fails, responds
from tests.recording import Recording

STATUS = "/api/v1/statusTask/{model}"
SUBMIT = "/api/v1/generateTask/{model}"
BALANCE = "/api/v1/apikeys/current-balance"


def counted(recording: Recording, name: str = REQUESTS.name) -> list[tuple[dict[str, object], float]]:
    """Return the points of a counter, without the method."""
    points = [point for point in recording.points(name) if isinstance(point, NumberDataPoint)]
    return [
        ({key: value for key, value in (point.attributes or {}).items() if "method" not in key}, point.value)
        for point in points
    ]


async def test_requests_have_templates(recording: Recording) -> None:
    """Requests are counted by endpoint, without model, id or the base URL's path, and by status class."""
    async with client(Script(ACCEPTED), base_url="https://host/gate/api/v1/x") as seedance:
        await seedance.submit(REQUEST)
    async with client(Script(PENDING)) as seedance:
        await seedance.status("task_1")
        await seedance.status("task_2", model="a/b")
    async with client(Script(responds(data=1.5))) as seedance:
        await seedance.balance()

    assert {point.attributes["http.request.method"] for point in recording.points(REQUESTS.name)} == {  # type: ignore[index]  # it has them
        "GET",
        "POST",
    }
    assert counted(recording) == [
        ({"url.template": SUBMIT, "seedance.status_class": "2xx"}, 1),
        ({"url.template": STATUS, "seedance.status_class": "2xx"}, 2),
        ({"url.template": BALANCE, "seedance.status_class": "2xx"}, 1),
    ]


async def test_failures_are_counted(recording: Recording) -> None:
    """A request that fails is counted with its error, and each retry counts."""
    answers = responds(429), responds(code=429), responds(500), fails(httpx.ConnectError("refused")), PENDING
    script = Script(*answers)
    async with client(script) as seedance:
        await seedance.status("task_1", retry_seconds=900)

    assert len(script.requests) == 5
    assert counted(recording) == [
        ({"url.template": STATUS, "seedance.status_class": "4xx", "error.type": "RateLimitedError"}, 1),
        ({"url.template": STATUS, "seedance.status_class": "2xx", "error.type": "RateLimitedError"}, 1),
        ({"url.template": STATUS, "seedance.status_class": "5xx", "error.type": "ServerError"}, 1),
        ({"url.template": STATUS, "error.type": "ConnectionFailedError"}, 1),
        ({"url.template": STATUS, "seedance.status_class": "2xx"}, 1),
    ]
    assert counted(recording, RATE_LIMITED.name) == [({"url.template": STATUS}, 2)]


async def test_cancelled_request_is_counted(recording: Recording) -> None:
    """A request that was sent when its caller was cancelled counts too."""
    async with client(Silence()) as seedance:
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await seedance.status("task_1")

    assert counted(recording) == [({"url.template": STATUS, "error.type": "CancelledError"}, 1)]


async def test_unsent_request_is_not_counted(recording: Recording) -> None:
    """A submission that its permit holds back, once its connection is ready, is no request."""
    permit = Permit.lasting(5)

    class Connected(httpx.AsyncBaseTransport):
        async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
            permit.revoke()
            check_permit()
            raise AssertionError

    async with client(Connected()) as seedance:
        with pytest.raises(NotSentError):
            await seedance.submit(REQUEST, permit=permit)

    assert counted(recording) == []


@pytest.mark.usefixtures("failing_provider")
async def test_failing_provider_loses_no_answer() -> None:
    """The answer to a submission arrives even if its request cannot be counted."""
    async with client(Script(ACCEPTED)) as seedance:
        assert await seedance.submit(REQUEST) == "task_1"
