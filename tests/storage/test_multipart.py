import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3  # type: ignore[import-untyped]  # no stubs
import pytest
from botocore.stub import Stubber  # type: ignore[import-untyped]  # no stubs

from prefect_seedance.storage.multipart import MultipartUploads

BUCKET = {"Bucket": "bucket"}
PREFIX = {"Prefix": "films/"}


class S3:
    """A boto3 client whose requests and responses are scripted."""

    def __init__(self) -> None:
        self.client = boto3.client(
            "s3", region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
        )
        self.stub = Stubber(self.client)
        self.closings = 0
        self.client.close = self._close

    def lists(self, *uploads: dict[str, object], page: int = 1, is_last: bool = True) -> None:
        """Expect a request for one page of the listing."""
        marker = {} if page == 1 else {"KeyMarker": f"key-{page - 1}", "UploadIdMarker": "id"}
        following = {} if is_last else {"NextKeyMarker": f"key-{page}", "NextUploadIdMarker": "id"}
        response: dict[str, Any] = {"Uploads": list(uploads), "IsTruncated": not is_last, **following}
        self.stub.add_response("list_multipart_uploads", response, BUCKET | PREFIX | marker)

    def aborts(self, key: str) -> None:
        """Expect the request that aborts an upload."""
        self.stub.add_response(
            "abort_multipart_upload", {}, BUCKET | {"Key": key, "UploadId": f"id of {key}"}
        )

    def abort_abandoned(self, *prefixes: str) -> None:
        """Abort the uploads, and check that every expected request was sent and the client closed."""
        uploads = MultipartUploads(bucket="bucket", prefix="films/", client=lambda: self.client)
        with self.stub:
            uploads.abort_abandoned(prefixes)
        self.stub.assert_no_pending_responses()
        assert self.closings == 1

    def _close(self) -> None:
        self.closings += 1


@pytest.fixture
def s3() -> S3:
    return S3()


def upload(key: str, *, hours: float = 25) -> dict[str, object]:
    return {"Key": key, "UploadId": f"id of {key}", "Initiated": datetime.now(UTC) - timedelta(hours=hours)}


def test_aborts_old_uploads(s3: S3) -> None:
    """Uploads older than a day are aborted, and recent ones stay."""
    s3.lists(upload("films/clips/a/1", hours=23), upload("films/clips/a/2", hours=25))
    s3.aborts("films/clips/a/2")

    s3.abort_abandoned("clips/a/")


def test_reads_all_pages(s3: S3) -> None:
    """Uploads are aborted on every page of the listing."""
    s3.lists(upload("films/clips/a/1"), is_last=False)
    s3.aborts("films/clips/a/1")
    s3.lists(upload("films/clips/a/2"), page=2)
    s3.aborts("films/clips/a/2")

    s3.abort_abandoned("clips/a/")


def test_keeps_other_prefixes(s3: S3) -> None:
    """Only uploads below the given prefixes are aborted."""
    s3.lists(upload("films/clips/ab/1"), upload("films/images/1"), upload("films/clips/a/1"))
    s3.aborts("films/clips/a/1")

    s3.abort_abandoned("clips/a/", "clips/b/")


def test_no_prefix_aborts_nothing(s3: S3) -> None:
    """Without prefixes, no upload is aborted."""
    s3.lists(upload("films/clips/a/1"))

    s3.abort_abandoned()


def test_forbidden_listing_is_no_error(s3: S3, caplog: pytest.LogCaptureFixture) -> None:
    """Without permission to list uploads, they stay, and the reason is logged."""
    caplog.set_level(logging.DEBUG, logger="prefect_seedance.storage.multipart")
    s3.stub.add_client_error("list_multipart_uploads", "AccessDenied", http_status_code=403)

    s3.abort_abandoned("clips/a/")

    assert "Could not list unfinished uploads in bucket" in caplog.text
    assert "AccessDenied" in caplog.text


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://bucket/films", "bucket", "films/"),
        ("s3://bucket/films/2026/", "bucket", "films/2026/"),
    ],
)
def test_parses_urls(url: str, bucket: str, prefix: str) -> None:
    """The prefix of an archive's URL ends with a slash, unless it is empty."""
    uploads = MultipartUploads.below(url)

    assert uploads
    assert (uploads.bucket, uploads.prefix) == (bucket, prefix)
