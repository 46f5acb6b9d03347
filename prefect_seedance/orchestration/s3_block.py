"""Open a stored S3 Bucket block of prefect-aws as a store."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_seedance.errors import SetupError
from prefect_seedance.storage.backends import Backend
from prefect_seedance.storage.store import Store

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Credential
    from prefect_aws import AwsCredentials, MinIOCredentials, S3Bucket

_LIFETIME = timedelta(minutes=10)
"""After it credentials are asked for anew; what AWS gives for a while lasts at least 15 minutes."""

_ROLE_SECONDS = 3600
"""How long AWS lends a role, if nothing else is asked.
Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html, read 2026-11."""


async def open_bucket(stored: str, *, name: str) -> Store:
    """Open a bucket with all that its block says: folder, credentials, region, endpoint, certificates.

    Args:
        stored: The name of the S3 Bucket block.
        name: What commands call the archive.

    Raises:
        SetupError: If there is no such block, prefect-aws is missing, or AWS gives no credentials.
    """
    try:
        from prefect_aws import S3Bucket  # noqa: PLC0415 -- an extra, for those who use it
    except ImportError:
        raise SetupError(
            f"The S3 Bucket block {stored!r} needs prefect-aws: pip install 'prefect-seedance[aws]'"
        ) from None
    try:
        bucket = await S3Bucket.aload(stored)
    except ValueError as error:
        raise SetupError(f"There is no stored S3 Bucket block named {stored!r}: {error}") from error
    return await asyncio.to_thread(_open, bucket, stored=stored, name=name)


def _open(bucket: "S3Bucket", *, stored: str, name: str) -> Store:
    from botocore.exceptions import (  # type: ignore[import-untyped]  # noqa: PLC0415 -- no stubs; an extra
        BotoCoreError,
        ClientError,
    )

    block = bucket.credentials
    options = block.aws_client_parameters.get_params_override()
    credentials = _Credentials(block)

    def boto() -> Any:  # noqa: ANN401 -- boto makes its classes as it runs
        return block.get_boto3_session().client("s3", **{"region_name": block.region_name, **options})

    try:
        credentials()
        # boto tells where it would ask: a block, a profile and the environment may say so.
        asked = boto().meta
    except (BotoCoreError, ClientError, ValueError) as error:
        raise SetupError(f"The credentials of the S3 Bucket block {stored!r} are refused: {error}") from error
    endpoint, region = str(asked.endpoint_url), asked.region_name
    config: S3Config = {
        "endpoint": endpoint,
        "region": "us-east-1" if region in {None, "aws-global"} else region,
        "virtual_hosted_style_request": False,
    }
    backend = Backend.open_s3(
        bucket.bucket_name,
        prefix=bucket.bucket_folder,
        config=config,
        client=_client(endpoint, options.get("verify")),
        credentials=credentials,
        boto=boto,
        expires_at=credentials.expires_at(),
    )
    return Store(backend, name=name)


def _client(endpoint: str, verify: bool | str | Path | None) -> "ClientConfig":  # noqa: FBT001 -- boto's word
    client: ClientConfig = {"allow_http": endpoint.startswith("http://")}
    if verify is False:
        client["allow_invalid_certificates"] = True
    elif verify and verify is not True:
        client["root_certificate"] = Path(verify).read_bytes()
    return client


class _Credentials:
    """Gives obstore the keys of a block, and fresh ones of a role or profile before they expire."""

    def __init__(self, block: "AwsCredentials | MinIOCredentials") -> None:
        self._block = block

    def __call__(self) -> "S3Credential":
        """Return the keys to use for a while."""
        found, keys = self._found()
        ask_again = datetime.now(UTC) + (timedelta(0) if _ends_soon(found) else _LIFETIME)
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": ask_again,
        }

    def expires_at(self) -> datetime | None:
        """Return when keys end that are given now, as far as that is known."""
        if getattr(self._block, "assume_role_arn", None):  # the block forgets what AWS said of the end
            asked = self._block.assume_role_kwargs.get_params_override()  # type: ignore[union-attr]  # it has both or none
            return datetime.now(UTC) + timedelta(seconds=asked.get("DurationSeconds", _ROLE_SECONDS))
        until = getattr(self._found()[0], "_expiry_time", None)  # boto's credentials tell only themselves
        return until if isinstance(until, datetime) else None

    def _found(self) -> tuple[Any, Any]:
        """Return boto's credentials, and the keys that they are now."""
        found = self._block.get_boto3_session().get_credentials()
        if found is None:
            raise ValueError("there are none, neither in the block nor where boto looks for them")
        return found, found.get_frozen_credentials()


def _ends_soon(credentials: object) -> bool:
    """Tell whether these are temporary, and boto knows of an end that comes before we would ask again."""
    needed = getattr(credentials, "refresh_needed", None)  # only what boto itself can refresh has it
    return bool(needed and needed(refresh_in=_LIFETIME.total_seconds()))
