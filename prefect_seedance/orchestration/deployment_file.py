"""Read the deployments of a file in the form of ``prefect.yaml``."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.client.schemas.schedules import CronSchedule
from pydantic import BaseModel


class _Pool(BaseModel):
    name: str
    job_variables: Mapping[str, Any] = {}


class _Schedule(BaseModel):
    slug: str
    cron: str
    timezone: str
    parameters: Mapping[str, Any] = {}

    def inactive(self) -> DeploymentScheduleCreate:
        cron = CronSchedule(cron=self.cron, timezone=self.timezone)
        return DeploymentScheduleCreate(
            schedule=cron, slug=self.slug, parameters=dict(self.parameters), active=False
        )


class WantedDeployment(BaseModel):
    """One deployment of ``prefect.yaml``."""

    name: str
    entrypoint: str
    description: str
    version: str
    tags: list[str]
    work_pool: _Pool
    concurrency_limit: ConcurrencyLimitConfig | None = None
    parameters: Mapping[str, Any]
    schedules: Sequence[_Schedule] = ()

    @property
    def module_entrypoint(self) -> str:
        """The entrypoint as a module's path, which needs no file on the worker."""
        file, _, function = self.entrypoint.partition(":")
        return f"prefect_seedance.flows.{Path(file).stem}.{function}"

    @property
    def full_name(self) -> str:
        """The deployment's name, after the name of its flow."""
        return f"{self.flow.name}/{self.name}"

    @property
    def flow(self) -> Flow[..., Any]:
        """The flow."""
        module, _, function = self.module_entrypoint.rpartition(".")
        flow: Flow[..., Any] = getattr(importlib.import_module(module), function)
        return flow


def read_deployments(file: Path) -> Sequence[WantedDeployment]:
    """Read a file."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [WantedDeployment.model_validate(each) for each in content["deployments"]]
