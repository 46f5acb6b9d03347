"""A catalogue's name, budget, and the parameters of its runs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Pending, Running, Scheduled
from pydantic import SecretStr

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.errors import SetupError
from prefect_seedance.flows import storyboard_to_transitions
from prefect_seedance.orchestration.catalog import _name_of, _refusal, _typed
from prefect_seedance.orchestration.child_runs import is_overdue
from prefect_seedance.production.catalog import Surveyed
from prefect_seedance.production.catalog_options import CatalogOptions
from prefect_seedance.storyboard.catalog import CatalogItem

_ITEM = CatalogItem(storyboard="a.yaml")


@pytest.mark.parametrize(
    ("most", "is_refused"), [(8, False), (7, True)], ids=["as much as allowed", "more than allowed"]
)
def test_shared_clips_are_bought_once(most: int, *, is_refused: bool) -> None:
    """The budget counts a clip of two storyboards once, and none of a storyboard with mistakes."""
    surveyed = [
        Surveyed(item=_ITEM, buys={"a": 4}),
        Surveyed(item=_ITEM, buys={"a": 4, "b": 4}),
        Surveyed(item=_ITEM, buys={"c": 4}, problem="its name is taken"),
    ]

    refusal = _refusal(surveyed, Credentials(api_key=SecretStr("key")), CatalogOptions(max_seconds=most))

    assert bool(refusal) is is_refused


@pytest.mark.parametrize(
    ("state", "hours", "is_dead"),
    [(Running, 1, False), (Running, 2, True), (Pending, 2, True), (Scheduled, 48, False)],
)
def test_dead_runs_are_recognized(state: Callable[..., State], hours: float, *, is_dead: bool) -> None:
    """A run that a worker took long before its deadline is dead; one that waits for a worker is not."""
    since = datetime(2026, 11, 27, tzinfo=UTC)
    run = FlowRun(flow_id=UUID(int=1), parameters={}, state=state(timestamp=since))

    assert is_overdue(run, since + timedelta(hours=hours)) is is_dead


@pytest.mark.parametrize(
    ("catalog", "name"),
    [
        ("films/season 1.csv", "season 1"),
        ("films/season #1/", "season #1"),
        ("s3://studio/season #2", "season #2"),
        ("s3://studio", "studio"),
        ("https://studio.example/boards/sea.yaml?signature=SECRET", "sea"),
        ("https://user:SECRET@studio.example/sea.yaml#SECRET", "sea"),
        ("https://studio.example/?signature=SECRET", "studio"),
        (".", "catalogue"),
        (["a.yaml"], "catalogue"),
    ],
)
def test_name_of_a_catalogue(catalog: str | list[str], name: str) -> None:
    """A catalogue is named after its folder or file, and never after the secret in a URL."""
    assert _name_of(catalog) == name


@pytest.mark.parametrize(("name", "noun"), [("archive", "archive"), ("credentials", "account")])
def test_one_storyboard_has_no_account_of_its_own(name: str, noun: str) -> None:
    """A storyboard with another archive or account than the catalogue's, which was checked, is refused."""
    shared = {"archive": "films", "credentials": "studio"}

    with pytest.raises(SetupError, match=f"have one {noun}; leave out the parameter {name}"):
        _typed({**shared, name: "other"}, storyboard_to_transitions, shared=shared)
