"""Abort multipart uploads that killed processes left in a bucket."""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any, Self

from prefect_seedance.printable import get_logger

_log = get_logger(__name__)

_ABANDONED_AFTER = timedelta(days=1)
"""Far longer than any upload takes: a part times out after minutes."""

_TIMEOUT_SECONDS = 10
"""Bound of one request, so that cleaning up does not delay a run."""


@dataclass(frozen=True, kw_only=True)
class MultipartUploads:
    """The multipart uploads below a prefix of an S3 bucket.

    The parts of an upload that is neither completed nor aborted are billed, but not listed as objects.
    obstore cannot list them, so boto3 does if it is installed.

    Attributes:
        prefix: Ends with a slash, unless it is empty.
        client: Creates a boto3 client for S3.
    """

    bucket: str
    prefix: str
    client: Callable[[], Any]

    @classmethod
    def below(cls, url: str) -> Self | None:
        """Return the uploads below an ``s3://`` URL, for the environment's account; None without boto3."""
        if not find_spec("boto3"):
            return None
        bucket, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
        return cls(bucket=bucket, prefix=prefix and f"{prefix}/", client=_environment_client)

    def abort_abandoned(self, prefixes: Collection[str]) -> None:
        """Abort uploads below these prefixes that are older than a day.

        If the credentials do not permit it, the uploads stay.

        Args:
            prefixes: Relative to the archive's prefix; each ends with a slash.
        """
        from botocore.exceptions import (  # type: ignore[import-untyped]  # noqa: PLC0415 -- no stubs; optional
            BotoCoreError,
            ClientError,
        )

        below = tuple(f"{self.prefix}{prefix}" for prefix in prefixes)
        try:
            with closing(self.client()) as client:
                for key, upload in self._abandoned(client):
                    if key.startswith(below):
                        client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
                        _log.info("Aborted an abandoned upload of %s", key)
        except (BotoCoreError, ClientError, ValueError) as error:
            _log.debug("Could not list unfinished uploads in %s: %s", self.bucket, error)

    def _abandoned(self, client: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 -- boto3 creates its classes at run time
        latest = datetime.now(UTC) - _ABANDONED_AFTER
        pages = client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket, Prefix=self.prefix
        )
        for page in pages:
            for upload in page.get("Uploads", ()):
                if upload["Initiated"] < latest:
                    yield upload["Key"], upload["UploadId"]


def _environment_client() -> Any:  # noqa: ANN401 -- likewise
    """Return a client that addresses buckets as obstore does."""
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 -- no stubs; optional
    from botocore.config import Config  # type: ignore[import-untyped]  # noqa: PLC0415 -- likewise

    config = Config(
        connect_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
        retries={"total_max_attempts": 2},
        s3={"addressing_style": "path"},
    )
    return boto3.Session(region_name=os.environ.get("AWS_REGION")).client("s3", config=config)
