"""Headers that announce the end of a model."""

from contextlib import suppress

import httpx
import pytest

from prefect_seedance.api.account import Account
from prefect_seedance.api.announcements import Announcement
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.errors import SeedanceError

PRO = "seedance-1-5-pro"
SUNSET = "Sat, 01 Aug 2026 23:59:59 GMT"
STATUS = {"code": 200, "message": "", "data": {"taskId": "task_1", "state": "pending"}}


async def announced(
    headers: dict[str, str], *, status_code: int = 200, body: object = STATUS
) -> dict[str, Announcement]:
    """Return what a client knows after a status read with these headers."""
    account = Account()
    transport = httpx.MockTransport(lambda _: httpx.Response(status_code, json=body, headers=headers))
    async with SeedanceClient("key", account=account, transport=transport) as client:
        for _ in range(2):
            with suppress(SeedanceError):
                await client.status("task_1", retry_seconds=0)
    return account.announcements


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Sunset": SUNSET}, "announces the end of seedance-1-5-pro, and ends it on 2026-08-01."),
        ({"Deprecation": "@1767225600"}, "since 2026-01-01."),
        ({"Deprecation": "true"}, "announces the end of seedance-1-5-pro. To see"),
        ({"Deprecation": "soon"}, "since soon."),
        ({"Deprecation": "@99999999999999999999"}, "since @9999"),
        ({"Link": '<https://example.com/end>; rel="deprecation"'}, "See https://example.com/end."),
        ({"Link": '<https://example.com/end>; rel="sunset"'}, "See https://example.com/end."),
        ({"Sunset": "a\u001b[31m".encode().decode("latin-1")}, "ends it on a"),
    ],
)
async def test_headers_become_sentences(
    headers: dict[str, str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each header is understood, logged once, and comes with the command that shows the successor."""
    found = await announced(headers)

    assert words in str(found[PRO])
    assert "plan STORYBOARD --model seedance-2-0" in str(found[PRO])
    assert str(found[PRO]).isprintable()
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "headers", [{}, {"Deprecation": "false"}, {"Link": '<https://example.com>; rel="next"'}, {"Link": "<"}]
)
async def test_other_headers_say_nothing(headers: dict[str, str]) -> None:
    """Answers without these headers announce nothing."""
    assert await announced(headers) == {}


async def test_refusals_announce_too() -> None:
    """The headers of a refusal count as those of a good answer."""
    assert PRO in await announced({"Sunset": SUNSET}, status_code=400, body={"code": 400, "message": "no"})
