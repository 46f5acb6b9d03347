"""Links from a page to other files of the archive."""

from datetime import UTC, datetime, timedelta

import pytest

from prefect_seedance.report.links import LIFETIME, Links
from prefect_seedance.storage.store import Store

_PAGE, _KEY = "productions/film/report.html", "clips/x/clip.mp4"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return a bucket whose credentials can sign."""
    for name, value in {"ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "key", "REGION": "eu-west-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return Store.open("s3://films/of mine")


async def test_bucket_links_are_signed(bucket: Store) -> None:
    """In a bucket, the best link is a signed URL, with the origin for the content security policy."""
    links = await Links.of(bucket, _PAGE)

    link = await links.to(_KEY)

    assert link.signed
    assert link.best == link.all[0] == link.signed
    assert link.all[1] == link.relative == "../../clips/x/clip.mp4"
    assert "X-Amz-Signature=" in link.signed
    assert link.origin
    assert link.signed.startswith(f"{link.origin}/")


async def test_signed_links_last_a_week(bucket: Store) -> None:
    """Signed links expire after seven days, and say so."""
    links = await Links.of(bucket, _PAGE)

    link = await links.to(_KEY)

    assert links.until == links.signed_until
    assert links.until
    assert timedelta() < datetime.now(UTC) + LIFETIME - links.until < timedelta(minutes=1)
    assert link.signed
    (expires,) = [part for part in link.signed.split("&") if part.startswith("X-Amz-Expires=")]
    assert 7 * 86400 - 60 <= int(expires.partition("=")[2]) <= 7 * 86400


async def test_folder_links_are_relative() -> None:
    """In a folder, links are paths from the page, quoted for URLs."""
    links = await Links.of(Store.open("memory://films"), _PAGE)

    link = await links.to("clips/x/a clip.mp4")

    assert link.all == ("../../clips/x/a%20clip.mp4",)
    assert (link.origin, links.until) == (None, None)


async def test_links_without_signature(
    bucket: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the credentials cannot sign, links are relative, and a warning says why."""
    del bucket
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/none")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nowhere")

    links = await Links.of(Store.open("s3://films"), _PAGE)

    assert (await links.to(_KEY)).all == ("../../clips/x/clip.mp4",)
    assert links.until is None
    assert "so they are relative: Could not sign" in caplog.text
