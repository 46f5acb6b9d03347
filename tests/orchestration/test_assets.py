"""Assets that show Prefect what was made from what."""

import logging
from pathlib import Path

import pytest

from prefect_seedance.orchestration import assets
from prefect_seedance.orchestration.assets import _key, _materialize
from tests.flows.conftest import Api, eventually
from tests.records import archived_clip, manifest_of, planned_clip


@pytest.mark.parametrize(
    ("archive", "key", "expected"),
    [
        ("s3://films/sea", "clips/abc/", "s3://films/sea/clips/abc"),
        ("/films", "productions/sea/film.mp4", "file:///films/productions/sea/film.mp4"),
        ("/my films#1", "clips/abc/", "file:///my_films_1/clips/abc"),
    ],
    ids=["bucket", "folder", "characters that Prefect rejects"],
)
def test_key_is_url(archive: str, key: str, expected: str) -> None:
    """The key of an asset is the URL of the object, in characters that Prefect accepts."""
    assert _key(archive, key) == expected


@pytest.mark.usefixtures("no_server")
def test_rejected_key_is_harmless(caplog: pytest.LogCaptureFixture) -> None:
    """A path that is too long for a key is a warning; the clip is archived all the same."""
    with caplog.at_level(logging.WARNING):
        _materialize(_key("/" + "x" * 1000, "clips/abc/"), "bell", [], {})

    assert "Could not record the asset" in caplog.text


def test_storyboard_is_referenced_once(server: Api, tmp_path: Path) -> None:
    """Each clip is one event, and the storyboard of all of them one more, however many there are."""
    clips = [archived_clip(planned_clip(number)) for number in (1, 2, 3)]

    for clip in clips:
        assets.clip_archived(clip, archive=str(tmp_path), production="sea")

    found = eventually(lambda: _events_below(server, f"file://{tmp_path}", count=4))
    made, referenced = "prefect.asset.materialization.succeeded", "prefect.asset.referenced"
    storyboard = f"file://{tmp_path}/productions/sea/storyboard.json"
    assert sorted(found) == sorted(
        [(referenced, storyboard)] + [(made, f"file://{tmp_path}/clips/{clip.fingerprint}") for clip in clips]
    )


def _events_below(server: Api, prefix: str, *, count: int) -> list[tuple[str, str]]:
    """Return the events of an archive's assets, once there are so many."""
    body = {"filter": {"event": {"prefix": ["prefect.asset."]}}, "limit": 50}
    events = server.post("/events/filter", body).raise_for_status().json()["events"]
    found = [(str(event["event"]), str(event["resource"]["prefect.resource.id"])) for event in events]
    ours = [(name, key) for name, key in found if key.startswith(prefix)]
    return ours if len(ours) >= count else []


def test_no_film_is_no_asset() -> None:
    """A production without a film has nothing to report."""
    assets.film_joined(manifest_of())
