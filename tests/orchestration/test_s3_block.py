"""Stored S3 Bucket blocks as archives, as far as that needs no endpoint."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect_aws import AwsCredentials
from pydantic import SecretStr

from prefect_seedance.orchestration.s3_block import _client, _Credentials, _ends_soon


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave out the developer's own AWS settings."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def test_keys_are_passed_on() -> None:
    """Obstore gets the block's keys, and has to request them again before temporary ones expire."""
    block = AwsCredentials(aws_access_key_id="AKIA", aws_secret_access_key=SecretStr("secret"))

    keys = _Credentials(block)()

    assert (keys["access_key_id"], keys["secret_access_key"], keys["token"]) == ("AKIA", "secret", None)
    assert keys["expires_at"]
    assert timedelta(minutes=9) < keys["expires_at"] - datetime.now(UTC) <= timedelta(minutes=10)


def test_permanent_keys_do_not_expire() -> None:
    """Keys without a role have no known end."""
    block = AwsCredentials(aws_access_key_id="AKIA", aws_secret_access_key=SecretStr("secret"))

    assert _Credentials(block).expires_at() is None


def test_missing_keys_are_an_error() -> None:
    """A block without keys, where boto3 finds none either, is an error."""
    with pytest.raises(ValueError, match="boto3 finds none"):
        _Credentials(AwsCredentials())()


class Temporary:
    """Credentials that boto3 would refresh."""

    def __init__(self, *, lasts_seconds: float) -> None:
        self._lasts_seconds = lasts_seconds

    def refresh_needed(self, refresh_in: float) -> bool:
        return self._lasts_seconds < refresh_in


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [(object(), False), (Temporary(lasts_seconds=3600), False), (Temporary(lasts_seconds=60), True)],
    ids=["permanent", "long", "short"],
)
def test_short_credentials_are_renewed_sooner(credentials: object, expected: bool) -> None:  # noqa: FBT001  # a column
    """Only credentials that expire before the usual renewal end soon."""
    assert _ends_soon(credentials) is expected


@pytest.mark.parametrize(
    ("endpoint", "verify", "expected"),
    [
        ("https://s3.example", None, {"allow_http": False}),
        ("https://s3.example", True, {"allow_http": False}),
        ("http://minio.local:9000", None, {"allow_http": True}),
        ("https://s3.example", False, {"allow_http": False, "allow_invalid_certificates": True}),
    ],
    ids=["https", "verified", "http", "unverified"],
)
def test_connection_follows_block(endpoint: str, verify: Any, expected: dict[str, bool]) -> None:  # noqa: ANN401  # boto3's own type
    """The block's endpoint and verification configure obstore."""
    assert _client(endpoint, verify) == expected


def test_own_certificate_is_trusted(tmp_path: Path) -> None:
    """A file with certificates is passed on."""
    (tmp_path / "ca.pem").write_bytes(b"certificate")

    assert _client("https://s3.example", str(tmp_path / "ca.pem")) == {
        "allow_http": False,
        "root_certificate": b"certificate",
    }
