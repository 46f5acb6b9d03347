"""Deploying to a server that fails."""

import asyncio

import pytest
from pydantic import SecretStr

from prefect_seedance import SeedanceCredentials
from prefect_seedance.cli.shipped import shipped
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration.deploy import Files, Target, deploy
from tests.orchestration.limits import PAGE, Limits


def test_page_creates_nothing(limits: Limits) -> None:
    """If a proxy answers about the account's limit, the error says that the server failed."""
    limits.instead["/concurrency_limits/"] = PAGE
    files, target = Files(shipped("deployments/prefect.yaml")), Target(archive="s3://studio")
    account = SeedanceCredentials(api_key=SecretStr("secret"), base_url="https://api.example.com")

    with pytest.raises(SetupError, match="The Prefect server failed"):
        asyncio.run(deploy(files, target, account=account))

    assert limits.sizes.keys() == {"studio"}
    assert not [path for path in limits.requests if "block_types" in path]
