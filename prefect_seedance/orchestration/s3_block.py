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
"""How long obstore uses credentials before it requests them again. Temporary ones of AWS last at least 15
minutes."""

_ROLE_SECONDS = 3600
"""Default lifetime of an assumed role.
Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html, read 2026-11."""


async def open_bucket(stored: str, *, name: str) -> Store:
    """Open the bucket of a block, with its folder, credentials, region, endpoint and certificates.

    Args:
        stored: The name of the S3 Bucket block.
        name: The name of the archive in messages and commands.

    Raises:
        SetupError: If there is no such block, prefect-aws is missing, or there are no valid credentials.
    """
    try:
        from prefect_aws import S3Bucket  # noqa: PLC0415 -- an optional dependency
    except ImportError:
        raise SetupError(
            f"The S3 Bucket block {stored!r} needs prefect-aws: pip install 'prefect-seedance[aws]'"
        ) from None
    try:
        bucket = await S3Bucket.aload(stored)
    except ValueError as error:
        raise SetupError(
            f"There is no S3 Bucket block named {stored!r} ({error}); check the name, or create the block"
        ) from error
    return await asyncio.to_thread(_open, bucket, stored=stored, name=name)


def _open(bucket: "S3Bucket", *, stored: str, name: str) -> Store:
    from botocore.exceptions import (  # type: ignore[import-untyped]  # noqa: PLC0415 -- no stubs; optional
        BotoCoreError,
        ClientError,
    )

    block = bucket.credentials
    options = block.aws_client_parameters.get_params_override()
    credentials = _Credentials(block)

    def boto() -> Any:  # noqa: ANN401 -- boto3 creates its classes at run time
        return block.get_boto3_session().client("s3", **{"region_name": block.region_name, **options})

    try:
        credentials()
        # boto3 resolves endpoint and region from the block, the profile and the environment.
        resolved = boto().meta
    except (BotoCoreError, ClientError, ValueError) as error:
        raise SetupError(
            f"The S3 Bucket block {stored!r} has no usable credentials ({error}); "
            "correct its credentials block"
        ) from error
    endpoint, region = str(resolved.endpoint_url), resolved.region_name
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


def _client(endpoint: str, verify: bool | str | Path | None) -> "ClientConfig":  # noqa: FBT001 -- as boto3 declares it
    client: ClientConfig = {"allow_http": endpoint.startswith("http://")}
    if verify is False:
        client["allow_invalid_certificates"] = True
    elif verify and verify is not True:
        client["root_certificate"] = Path(verify).read_bytes()
    return client


class _Credentials:
    """Provides obstore with a block's credentials, renewing those of a role or profile before they expire."""

    def __init__(self, block: "AwsCredentials | MinIOCredentials") -> None:
        self._block = block

    def __call__(self) -> "S3Credential":
        """Return the credentials, and when obstore has to request them again."""
        found, keys = self._find()
        renew_at = datetime.now(UTC) + (timedelta(0) if _ends_soon(found) else _LIFETIME)
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": renew_at,
        }

    def expires_at(self) -> datetime | None:
        """Return when the current credentials expire; None if they do not, or it is not known."""
        if getattr(self._block, "assume_role_arn", None):  # the block drops the expiry that AWS returns
            chosen = self._block.assume_role_kwargs.get_params_override()  # type: ignore[union-attr]  # it has both or none
            return datetime.now(UTC) + timedelta(seconds=chosen.get("DurationSeconds", _ROLE_SECONDS))
        until = getattr(self._find()[0], "_expiry_time", None)  # botocore has no public attribute for it
        return until if isinstance(until, datetime) else None

    def _find(self) -> tuple[Any, Any]:
        """Return boto3's credentials, and a snapshot of their keys."""
        found = self._block.get_boto3_session().get_credentials()
        if found is None:
            raise ValueError("boto3 finds none, in the block or elsewhere")
        return found, found.get_frozen_credentials()


def _ends_soon(credentials: object) -> bool:
    """Whether credentials expire before they would be renewed."""
    needed = getattr(credentials, "refresh_needed", None)  # only credentials that boto3 can refresh have it
    return bool(needed and needed(refresh_in=_LIFETIME.total_seconds()))
