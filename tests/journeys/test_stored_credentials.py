"""Credentials of a stored bucket: profiles, regions, certificates and expiring keys."""

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect_aws import AwsCredentials, MinIOCredentials, S3Bucket
from prefect_aws.assume_role_parameters import AssumeRoleParameters
from prefect_aws.client_parameters import AwsClientParameters
from pydantic import SecretStr

from prefect_seedance import ClipArchive
from prefect_seedance.errors import SetupError
from prefect_seedance.storage.store import Store
from tests.processes import S3, aws, serving_s3

_KEY_SECONDS = 3


@pytest.fixture(autouse=True)
def _prefect(prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in aws(""):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with temporary_settings({PREFECT_API_URL: prefect_server, PREFECT_HOME: tmp_path}):
        yield


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """Run an endpoint with a self-signed certificate, as in a private network."""
    with serving_s3(tmp_path_factory.mktemp("s3-tls"), tls=True) as s3:
        yield s3


async def opened(bucket: str, credentials: AwsCredentials | MinIOCredentials) -> Store:
    """Save a bucket with these credentials, and open it as an archive."""
    await S3Bucket(bucket_name=bucket, credentials=credentials).asave("stored", overwrite=True)
    return await ClipArchive(s3_bucket="stored").open()


def keys(where: AwsClientParameters, **fields: object) -> AwsCredentials:
    """Return credentials of the endpoint with the given client parameters."""
    known = {"aws_access_key_id": "someone", "aws_secret_access_key": SecretStr("secret")}
    return AwsCredentials(**{**known, "region_name": "us-east-1", **fields}, aws_client_parameters=where)


@pytest.mark.parametrize("trust", ["no verification", "certificate", "MinIO"])
async def test_private_endpoint_is_trusted(trust: str, private: S3) -> None:
    """With `verify` False, or with its certificate, a private endpoint can be used."""
    trusting = {
        "verify": True,
        "verify_cert_path": private.certificate,
    }  # without verify, the block drops the certificate
    checks = {"verify": False} if trust == "no verification" else trusting
    where = AwsClientParameters(endpoint_url=private.url, **checks)
    minio = MinIOCredentials(
        minio_root_user="root", minio_root_password=SecretStr("secret"), aws_client_parameters=where
    )
    bucket = await asyncio.to_thread(private.bucket)

    store = await opened(bucket, minio if trust == "MinIO" else keys(where))
    await store.probe()
    await store.put("clips/a/b.mp4", b"video")

    assert private.contents(bucket) == {"clips/a/b.mp4": b"video"}


async def test_unknown_certificate_is_refused(private: S3) -> None:
    """An untrusted endpoint receives no key, and the error names the reason."""
    store = await opened("clips", keys(AwsClientParameters(endpoint_url=private.url)))

    with pytest.raises(SetupError, match=r"certificate is not trusted: UnknownIssuer.*Nothing was spent"):
        await store.probe()


def profile(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the profile `studio` and configure boto3 to read it."""
    (folder / "config").write_text(f"[profile studio]\n{text}", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))


async def test_profile_configures_everything(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile can contain keys, region and endpoint."""
    lines = ["aws_access_key_id = someone", "aws_secret_access_key = secret", "region = eu-west-1"]
    profile(tmp_path, "\n".join([*lines, f"endpoint_url = {s3.url}"]), monkeypatch)
    bucket = await asyncio.to_thread(s3.bucket)

    store = await opened(bucket, AwsCredentials(profile_name="studio"))
    await store.probe()
    url = await store.sign("images/a.png", lifetime=timedelta(hours=1))

    assert url is not None
    assert url.startswith(f"{s3.url}/{bucket}/images/a.png?")
    assert "%2Feu-west-1%2Fs3%2F" in url


_ISSUER = """
import json, sys, time
from datetime import UTC, datetime

until = int(time.time()) + int(sys.argv[1])
print(json.dumps({
    "Version": 1, "AccessKeyId": f"UNTIL{until}", "SecretAccessKey": "secret", "SessionToken": "token",
    "Expiration": datetime.fromtimestamp(until, UTC).isoformat(),
}))
"""


async def test_archive_outlives_its_keys(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that expire within seconds are renewed while the archive is open."""
    (tmp_path / "issue.py").write_text(_ISSUER, encoding="utf-8")
    issue = f"{sys.executable} {tmp_path / 'issue.py'} {_KEY_SECONDS}"
    profile(tmp_path, f"region = us-east-1\ncredential_process = {issue}", monkeypatch)
    bucket = await asyncio.to_thread(s3.bucket)
    where = AwsClientParameters(endpoint_url=s3.url)
    store = await opened(bucket, AwsCredentials(profile_name="studio", aws_client_parameters=where))

    began, written = time.monotonic(), 0
    while time.monotonic() - began < 2.5 * _KEY_SECONDS:
        written += await store.create(f"clips/{written}", b"record")
        await asyncio.sleep(0.5)

    assert len(await store.keys("clips/")) == written > 2


async def test_key_expiry_is_known(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The expiry is known for keys of roles and of profiles; plain keys have none."""
    (tmp_path / "issue.py").write_text(_ISSUER, encoding="utf-8")
    issue = f"{sys.executable} {tmp_path / 'issue.py'} 7200"
    profile(tmp_path, f"region = us-east-1\ncredential_process = {issue}", monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3.url)
    where = AwsClientParameters(endpoint_url=s3.url)
    role = {"assume_role_arn": "arn:aws:iam::123456789012:role/archivist"}
    long = {**role, "assume_role_kwargs": AssumeRoleParameters(DurationSeconds=43_200)}
    kinds = {
        "plain": keys(where),
        "profile": AwsCredentials(profile_name="studio", aws_client_parameters=where),
        "role": keys(where, **role),
        "long role": keys(where, **long),
    }

    now = datetime.now(UTC)
    ends = {kind: (await opened("clips", credentials)).expires_at for kind, credentials in kinds.items()}

    left = {kind: end and round((end - now).total_seconds() / 3600, 1) for kind, end in ends.items()}
    assert left == {"plain": None, "profile": 2.0, "role": 1.0, "long role": 12.0}


async def test_expired_token_costs_nothing(s3: S3) -> None:
    """An expired session token is refused in one line, before anything is spent."""
    bucket = await asyncio.to_thread(s3.bucket)
    over = {"aws_access_key_id": f"UNTIL{int(time.time())}", "aws_session_token": "token"}
    store = await opened(bucket, keys(AwsClientParameters(endpoint_url=s3.url), **over))

    with pytest.raises(SetupError, match=r"token has expired \(ExpiredToken\)\. Nothing was spent"):
        await store.probe()
