"""Create the work pools of the deployments."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectNotFound
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

from prefect_seedance.errors import SetupError


class Pool(NamedTuple):
    """A work pool, and the action that it needs.

    Attributes:
        type: Where its workers start runs: ``process``, ``docker``, ``kubernetes`` and so on.
    """

    name: str
    action: Literal["create", "keep"]
    type: str

    async def carry_out(self, client: PrefectClient) -> None:
        """Create it if it is missing."""
        if self.action == "create":
            template = await get_default_base_job_template_for_infrastructure_type(self.type) or {}
            await client.create_work_pool(
                WorkPoolCreate(name=self.name, type=self.type, base_job_template=template)
            )

    @classmethod
    async def plan(cls, client: PrefectClient, names: Sequence[str], *, image: str) -> Sequence[Self]:
        """Decide which pools to create.

        Args:
            client: Of the server.
            names: Of the pools that the deployments use.
            image: In which runs start. A pool that is created starts processes, or else containers.

        Raises:
            SetupError: If a pool exists that does not start containers, but there is an image.
        """
        return [cls._planned(name, await _find(client, name), image=image) for name in names]

    @classmethod
    def _planned(cls, name: str, existing: WorkPool | None, *, image: str) -> Self:
        if existing is None:
            return cls(name, "create", "docker" if image else "process")
        if image and not _starts_containers(existing):
            raise SetupError(
                f"The work pool {name!r} is of the type {existing.type}, which starts no containers. Leave "
                "out --image, or name another pool with --pool; a new one is created for containers"
            )
        return cls(name, "keep", existing.type)


def _starts_containers(pool: WorkPool) -> bool:
    """Return whether a pool has images; one that no worker has used yet may have no template."""
    variables = pool.base_job_template.get("variables", {}).get("properties")
    return pool.type != "process" and (variables is None or "image" in variables)


async def _find(client: PrefectClient, name: str) -> WorkPool | None:
    try:
        return await client.read_work_pool(name)
    except ObjectNotFound:
        return None
