"""An archive in a stored block: a bucket with its credentials, and an empty environment."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect_aws import AwsCredentials, MinIOCredentials, S3Bucket
from prefect_aws.assume_role_parameters import AssumeRoleParameters
from prefect_aws.client_parameters import AwsClientParameters
from pydantic import SecretStr

from prefect_seedance import ClipArchive
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration.blocks import open_archive
from tests.processes import S3, Command, Sandbox, aws

_SECRET = "bucket-secret-0123456789"


@pytest.fixture(autouse=True)
def _prefect(prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in aws(""):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with temporary_settings({PREFECT_API_URL: prefect_server, PREFECT_HOME: tmp_path}):
        yield


def _credentials(kind: str, s3: S3) -> AwsCredentials | MinIOCredentials:
    where = AwsClientParameters(endpoint_url=s3.url)
    if kind == "minio":
        return MinIOCredentials(
            minio_root_user="root", minio_root_password=SecretStr(_SECRET), aws_client_parameters=where
        )
    keys = AwsCredentials(
        aws_access_key_id="someone",
        aws_secret_access_key=SecretStr(_SECRET),
        region_name="us-east-1",
        aws_client_parameters=where,
    )
    fields: dict[str, dict[str, object]] = {
        "role": {
            "assume_role_arn": "arn:aws:iam::123456789012:role/archivist",
            "assume_role_kwargs": AssumeRoleParameters(ExternalId="studio"),
        },
        "token": {"aws_session_token": "temporary"},
    }
    return keys.model_copy(update=fields.get(kind))


def _save(kind: str, s3: S3, *, bucket: str = "") -> str:
    credentials = _credentials(kind, s3)
    credentials.save(f"clips-{kind}", overwrite=True)
    bucket = bucket or s3.bucket()
    S3Bucket(bucket_name=bucket, bucket_folder="films", credentials=credentials).save(
        f"clips-{kind}", overwrite=True
    )
    ClipArchive(s3_bucket=f"clips-{kind}").save(f"clips-{kind}", overwrite=True)
    return bucket


@pytest.mark.parametrize("kind", ["keys", "token", "role", "minio"])
async def test_stored_bucket_is_an_archive(kind: str, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored bucket with any kind of credentials archives and signs, and shows no secret."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3.url)
    bucket = await asyncio.to_thread(_save, kind, s3)

    store = await open_archive(f"block:clips-{kind}")
    await store.probe()
    await store.put("images/a.png", b"image", media_type="image/png")
    url = await store.sign("images/a.png", lifetime=timedelta(hours=1))

    assert (store.name, store.url) == (f"block:clips-{kind}", f"s3://{bucket}/films")
    assert s3.contents(bucket) == {"films/images/a.png": b"image"}
    assert url is not None
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).content == b"image"
    assert _SECRET not in f"{store!r} {vars(store)} {url}"


async def test_expiring_keys_are_renewed(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of a role are renewed before they expire, while the archive is open."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3.url)
    monkeypatch.setattr("prefect_seedance.orchestration.s3_block._LIFETIME", timedelta(0))
    await asyncio.to_thread(_save, "role", s3)
    store = await open_archive("block:clips-role")

    urls = [await store.sign("images/a.png", lifetime=timedelta(hours=1)) for _ in range(2)]

    keys = {httpx.URL(url or "").params["X-Amz-Credential"].split("/")[0] for url in urls}
    assert len(keys) == 2


async def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A block without keys is refused before anything is spent if the environment has none either."""
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name, fields in {"empty": {}, "profile": {"profile_name": "missing"}}.items():
        bucket = S3Bucket(bucket_name="clips", credentials=AwsCredentials(**fields))
        await bucket.asave(f"clips-{name}", overwrite=True)

    with pytest.raises(SetupError, match=r"'clips-empty' has no usable credentials .*finds none"):
        await ClipArchive(s3_bucket="clips-empty").open()
    with pytest.raises(SetupError, match=r"'clips-profile' has no usable credentials .*missing"):
        await ClipArchive(s3_bucket="clips-profile").open()


def test_commands_accept_block_names(
    run_cli: Command, prefect_server: str, sandbox: Sandbox, s3: S3, board: Path
) -> None:
    """All commands accept an archive by block name, as an option or in SEEDANCE_ARCHIVE."""
    bucket = _save("keys", s3)
    env = {"PREFECT_API_URL": prefect_server, **sandbox.env}
    polling = ("--first-poll", "0.2", "--poll-every", "0.2")
    archive = "block:clips-keys"

    made = run_cli("produce", board, "--archive", archive, "--json", *polling, env=env)
    planned = run_cli("plan", board, "--json", env={**env, "SEEDANCE_ARCHIVE": archive})
    listed = run_cli("ledger", "--json", env={**env, "SEEDANCE_ARCHIVE": archive})

    assert [clip["status"] for clip in json.loads(made.stdout)["clips"]] == ["made", "made"], made.stderr
    assert [clip["action"] for clip in json.loads(planned.stdout)["clips"]] == ["reuse", "reuse"]
    assert [clip["status"] for clip in json.loads(listed.stdout)["clips"]] == ["archived", "archived"]
    kept = s3.contents(bucket)
    assert sum("/clip-" in key for key in kept) == 2
    assert _SECRET not in "".join(map(str, kept.values())) + made.stdout + made.stderr
