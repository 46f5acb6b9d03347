"""The session that all tasks of an event loop share."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import SecretStr

from prefect_seedance import ClipArchive, Credentials, RetryPolicy, RunSettings, SeedanceCredentials, Waiting
from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration import events
from prefect_seedance.orchestration.session import shared_session

SETTINGS = RunSettings(credentials=SeedanceCredentials(api_key=SecretStr("sd-key")), archive="memory://films")


def _limited(**limits: int) -> Credentials:
    return SETTINGS.credentials.model_copy(update=limits)


async def test_tasks_share_a_session() -> None:
    """Tasks with the same account and archive get one session, which reports changes as events."""
    async with shared_session(SETTINGS) as first, shared_session(SETTINGS) as second:
        assert first is second
        assert events.generation_changed in first.session.poller.listeners


@pytest.mark.parametrize(
    ("changed", "is_shared"),
    [
        (replace(SETTINGS, production="lighthouse", flow_run=FlowRunRef(name="dawn", id="7")), True),
        (replace(SETTINGS, retry=RetryPolicy(retry_failed=True)), True),
        (replace(SETTINGS, waiting=Waiting(deadline_seconds=1, wait=False)), True),
        (replace(SETTINGS, waiting=Waiting(poll_every_seconds=1)), False),
        (replace(SETTINGS, archive="memory://other"), False),
        (replace(SETTINGS, credentials=SeedanceCredentials(api_key=SecretStr("another"))), False),
        (replace(SETTINGS, credentials=SETTINGS.credentials.model_copy(update={"model": "other"})), False),
        (replace(SETTINGS, credentials=_limited(requests_per_minute=60)), False),
        (replace(SETTINGS, credentials=_limited(generations_in_flight=2)), True),
    ],
    ids=["production", "retries", "deadline", "polls", "archive", "account", "model", "requests", "slots"],
)
async def test_what_makes_a_session(changed: RunSettings, is_shared: bool) -> None:  # noqa: FBT001  # a column
    """Account, archive and polling make a session; everything else may differ between its tasks."""
    async with shared_session(SETTINGS) as first, shared_session(changed) as second:
        assert (first is second) is is_shared


async def test_blocks_are_compared_by_content() -> None:
    """Two blocks of the same place share a session."""
    one, other = (replace(SETTINGS, archive=ClipArchive(url="memory://films")) for _ in range(2))

    async with shared_session(one) as first, shared_session(other) as second:
        assert first is second


async def test_last_user_closes() -> None:
    """The session stays open until its last user leaves; the next user opens another."""
    async with shared_session(SETTINGS) as first:
        async with shared_session(SETTINGS):
            pass
        is_open = not first.session.client._reads.is_closed
    async with shared_session(SETTINGS) as second:
        pass

    assert is_open
    assert first.session.client._reads.is_closed
    assert first is not second


async def test_first_users_open_once() -> None:
    """Users that come at the same time wait for one session."""

    async def use() -> int:
        async with shared_session(SETTINGS) as shared:
            await asyncio.sleep(0.1)
            return id(shared)

    assert len(set(await asyncio.gather(*[use() for _ in range(5)]))) == 1


async def test_failed_session_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a session cannot be opened, each user gets the error, and the next one tries again."""
    settings = replace(SETTINGS, archive="")
    monkeypatch.delenv("SEEDANCE_ARCHIVE", raising=False)

    for _ in range(2):
        with pytest.raises(SetupError, match="SEEDANCE_ARCHIVE"):
            async with shared_session(settings):
                pass
    monkeypatch.setenv("SEEDANCE_ARCHIVE", "memory://films")

    async with shared_session(settings) as shared:
        assert shared.session.store.url == "memory://films"
