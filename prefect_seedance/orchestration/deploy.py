"""Create and update the deployments of the shipped flows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectException

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.urls import hide_users
from prefect_seedance.errors import ConnectionFailedError, SetupError
from prefect_seedance.orchestration.account_limit import AccountLimit
from prefect_seedance.orchestration.automations import Automated, Automations
from prefect_seedance.orchestration.blocks import ClipArchive, SeedanceCredentials
from prefect_seedance.orchestration.deployment_file import WantedDeployment, read_deployments
from prefect_seedance.orchestration.work_pools import Pool
from prefect_seedance.production.catalog_options import STORYBOARD_DEPLOYMENT
from prefect_seedance.storage.locations import absolute, is_path

_IN_IMAGE = "/tmp"  # noqa: S108 -- runs start here and store nothing
"""Every image has this folder, and the current one may exist only on this machine."""


class Files(NamedTuple):
    """What to deploy.

    Attributes:
        deployments: Has the form of ``prefect.yaml``; its entrypoints are files in ``flows/``.
        automations: Each has the form that ``prefect automation create --from-file`` reads.
    """

    deployments: Path
    automations: Sequence[Path] = ()


class Target(NamedTuple):
    """Where to deploy; an empty field keeps an existing deployment's value.

    Attributes:
        pool: A work pool. Default for new deployments: the file's.
        archive: Default for new deployments: `archive_of_new`, or else the file's, in `directory`.
        archive_of_new: The archive of new deployments only, such as that of the environment.
        directory: A folder on the workers, in which runs start. Default for new deployments: the current one,
            or in an image its folder for temporary files.
        image: Of the containers in which runs start. Default for new deployments: no containers.
        credentials: Name of the block with the account of all runs. Default for new deployments: the account
            in the workers' environment.
        at_a_time: Storyboards that all workers together make at a time. Default for new deployments: the
            file's.
    """

    pool: str = ""
    archive: str = ""
    directory: str = ""
    image: str = ""
    credentials: str = ""
    at_a_time: int | None = None
    archive_of_new: str = ""

    def working_directory(self) -> Path:
        """Return the folder in which runs start."""
        return Path(self.directory or (_IN_IMAGE if self.image else ".")).expanduser().absolute()

    def locate(self, archive: str) -> str:
        """Return an archive's name, independent of the directory in which a run starts."""
        return absolute(archive, directory=self.working_directory())


class Deployed(NamedTuple):
    """A deployment, and the action that it needed.

    Attributes:
        archive: All of them, if it has several.
    """

    name: str
    action: Literal["create", "update"]
    pool: str
    archive: str


class Report(NamedTuple):
    """The result of a deployment, or of a dry run."""

    deployments: Sequence[Deployed]
    pools: Sequence[Pool]
    automations: Sequence[Automated]
    account_limit: AccountLimit | None


async def deploy(
    files: Files,
    target: Target,
    *,
    account: Credentials | None = None,
    notify: str = "",
    dry_run: bool = False,
) -> Report:
    """Create deployments and all that they need on the server, or update what exists.

    They need a work pool, automations, types of blocks, and the limit of their account. Everything is checked
    before anything is created. If the server fails in between, deploying again continues.

    New deployments have inactive schedules. Existing ones keep schedules, parameters, concurrency limits and
    job variables; only the code that they run, its form and description, and what the target names are
    updated. Existing automations stay enabled or disabled.

    Args:
        files: What to deploy.
        target: Pool, archive, directory and image.
        account: Whose limit to create. None creates no limit.
        notify: Name of the notification block of automations that notify people. Without it, those that do
            not exist are not created.
        dry_run: Return what would be done, without doing it.

    Raises:
        SetupError: If the target is unsuitable, or there is no such notification block; nothing was changed.
            Or if the Prefect server fails.
    """
    wanted = read_deployments(files.deployments)
    try:
        async with get_client() as client:
            plans = [_Plan(each, await _find(client, each.full_name), target) for each in wanted]
            pools = await Pool.plan(client, sorted({plan.pool for plan in plans}), image=target.image)
            for plan in plans:
                plan.check({pool.name: pool for pool in pools}[plan.pool])
            automations = await Automations.plan(client, files.automations, notify=notify)
            limit = await AccountLimit.plan(account) if account else None
            if not dry_run:
                limit = await limit.carry_out() if limit else None
                await _register_blocks(client)
                for pool in pools:
                    await pool.carry_out(client)
                for plan in plans:
                    await plan.carry_out(client)
                await automations.carry_out(client)
    except (httpx.HTTPError, PrefectException, ConnectionFailedError) as error:
        raise SetupError(
            f"The Prefect server failed ({hide_users(error)}). Check it and PREFECT_API_URL, "
            "and run the command again"
        ) from error
    return Report([plan.result for plan in plans], pools, automations.results, limit)


async def _register_blocks(client: PrefectClient) -> None:
    """Register the types of blocks, so that Prefect's UI has forms for them."""
    for block in (SeedanceCredentials, ClipArchive):
        await block.aregister_type_and_schema(client=client)


class _Plan:
    """What to do about one deployment."""

    def __init__(self, wanted: WantedDeployment, existing: DeploymentResponse | None, target: Target) -> None:
        self._wanted, self._existing, self._target = wanted, existing, target
        kept = existing.work_pool_name if existing else None
        self.pool = target.pool or kept or wanted.work_pool.name
        self._parameters = dict(existing.parameters if existing else wanted.parameters)
        self._named = target.archive or ("" if existing else target.archive_of_new)
        if self._named or not existing:
            self._parameters["archive"] = target.locate(self._named or self._parameters["archive"])
        if target.credentials and "credentials" in wanted.flow.parameters.properties:
            self._parameters["credentials"] = target.credentials

    @property
    def result(self) -> Deployed:
        return Deployed(
            name=self._wanted.full_name,
            action="update" if self._existing else "create",
            pool=self.pool,
            archive=", ".join(self._archives),
        )

    @property
    def _archives(self) -> Sequence[str]:
        archive = self._parameters.get("archive", "")
        return [archive] if isinstance(archive, str) else archive

    def check(self, pool: Pool) -> None:
        """Check that the archive outlives the containers in which runs start.

        Raises:
            SetupError: If it is a folder that only this machine, or a single container, has.
        """
        is_kept = self._existing and self._existing.work_pool_name == pool.name and not self._named
        is_volume = self._named.startswith("file://") or Path(self._named).is_absolute()
        if pool.type == "process" or is_kept or is_volume:
            return
        if any(is_path(each) or each.startswith("file://") for each in self._archives):
            raise SetupError(
                "Containers lose their own folders, and with them the clips that you have paid for. Name an "
                "archive that they share with --archive: a bucket, a block, or the absolute path of a volume"
            )

    async def carry_out(self, client: PrefectClient) -> None:
        if self._existing is None:
            await self._create(client)
        else:
            limit = {"concurrency_limit": self._at_a_time} if self._at_a_time else {}
            update = DeploymentUpdate(
                **self._code(), **dict(self._pull_steps()), **limit, parameters=self._parameters
            )
            await client.update_deployment(self._existing.id, update)

    @property
    def _at_a_time(self) -> int | None:
        return self._target.at_a_time if self._wanted.full_name == STORYBOARD_DEPLOYMENT else None

    def _code(self) -> dict[str, Any]:
        """Return what a release decides."""
        return {
            "version": self._wanted.version,
            "description": self._wanted.description,
            "tags": self._wanted.tags,
            "work_pool_name": self.pool,
            "job_variables": self._job_variables(),
            "entrypoint": self._wanted.module_entrypoint,
            "parameter_openapi_schema": self._wanted.flow.parameters.model_dump(),
            "enforce_parameter_schema": True,
        }

    def _job_variables(self) -> dict[str, Any]:
        """Return those of the file, then the existing ones, then the image."""
        wanted, kept = (
            self._wanted.work_pool.job_variables,
            self._existing.job_variables if self._existing else {},
        )
        environment = {**wanted.get("env", {}), **(kept.get("env") or {})}
        image = {"image": self._target.image} if self._target.image else {}
        return {**wanted, **kept, **image, "env": environment}

    def _pull_steps(self) -> Iterator[tuple[str, Any]]:
        if self._target.directory or not self._existing:
            step = "prefect.deployments.steps.set_working_directory"
            yield "pull_steps", [{step: {"directory": str(self._target.working_directory())}}]

    async def _create(self, client: PrefectClient) -> None:
        limit = self._wanted.concurrency_limit
        strategy = ConcurrencyOptions(collision_strategy=limit.collision_strategy) if limit else None
        await client.create_deployment(
            flow_id=await client.create_flow(self._wanted.flow),
            name=self._wanted.name,
            parameters=self._parameters,
            concurrency_limit=self._at_a_time or (limit.limit if limit else None),
            concurrency_options=strategy,
            schedules=[schedule.inactive() for schedule in self._wanted.schedules],
            **self._code(),
            **dict(self._pull_steps()),
        )


async def _find(client: PrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return await client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None
