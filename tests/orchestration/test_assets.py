"""Assets that show Prefect what was made from what."""

import logging

import pytest

from prefect_seedance.orchestration import assets
from prefect_seedance.orchestration.assets import _key, _materialize
from tests.records import manifest_of


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


def test_no_film_is_no_asset() -> None:
    """A production without a film has nothing to report."""
    assets.film_joined(manifest_of())
