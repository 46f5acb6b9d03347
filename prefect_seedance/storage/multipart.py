"""Abort what killed processes left half-sent in a bucket of S3."""

import logging
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any, Self

_log = logging.getLogger(__name__)

_ABANDONED = timedelta(days=1)
"""Nobody sends one file for so long; a part is given up after minutes."""

_ANSWER_SECONDS = 10
"""For one request: to tidy up shall not keep anybody waiting."""


@dataclass(frozen=True, kw_only=True)
class Uploads:
    """The uploads in several parts that were begun below a prefix of a bucket.

    The parts of one that was neither finished nor aborted are billed, and nobody sees them. obstore
    cannot list them, so boto does, where it is installed.

    Attributes:
        prefix: Ends at a slash, unless it is empty.
        client: Returns boto's client of S3.
    """

    bucket: str
    prefix: str
    client: Callable[[], Any]

    @classmethod
    def at(cls, url: str) -> Self | None:
        """Return those below an ``s3://`` URL, for the environment's account; None without boto."""
        if not find_spec("boto3"):
            return None
        bucket, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
        return cls(bucket=bucket, prefix=prefix and f"{prefix}/", client=_client_of_environment)

    def sweep(self, prefixes: Collection[str]) -> None:
        """Abort those that were begun below these prefixes more than a day ago.

        A bucket that refuses, as one may that grants no more than is needed, keeps them.

        Args:
            prefixes: Each ends at a slash and is relative to the archive's own.
        """
        from botocore.exceptions import (  # type: ignore[import-untyped]  # noqa: PLC0415 -- no stubs; an extra
            BotoCoreError,
            ClientError,
        )

        below = tuple(f"{self.prefix}{prefix}" for prefix in prefixes)
        try:
            client = self.client()
            for key, upload in self._abandoned(client):
                if key.startswith(below):
                    client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
                    _log.info("Removed what a process that died left of %s", key)
        except (BotoCoreError, ClientError, ValueError) as error:
            _log.debug("Could not look for unfinished uploads in %s: %s", self.bucket, error)

    def _abandoned(self, client: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 -- boto makes its classes as it runs
        latest = datetime.now(UTC) - _ABANDONED
        pages = client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket, Prefix=self.prefix
        )
        for page in pages:
            for upload in page.get("Uploads", ()):
                if upload["Initiated"] < latest:
                    yield upload["Key"], upload["UploadId"]


def _client_of_environment() -> Any:  # noqa: ANN401 -- likewise
    """Return a client that finds the bucket as obstore does."""
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 -- no stubs; an extra
    from botocore.config import Config  # type: ignore[import-untyped]  # noqa: PLC0415 -- likewise

    brisk = Config(
        connect_timeout=_ANSWER_SECONDS,
        read_timeout=_ANSWER_SECONDS,
        retries={"total_max_attempts": 2},
        s3={"addressing_style": "path"},
    )
    return boto3.Session(region_name=os.environ.get("AWS_REGION")).client("s3", config=brisk)
