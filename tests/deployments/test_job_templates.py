"""The templates of Kubernetes Jobs and ECS tasks, rendered as workers do, which no cluster runs here."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import botocore.session  # type: ignore[import-untyped]  # it has no types
import kubernetes_validate
import pytest
from botocore.validate import ParamValidator  # type: ignore[import-untyped]  # likewise
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.workers.base import BaseJobConfiguration, BaseWorker
from prefect_aws.workers.ecs_worker import ECSJobConfiguration, ECSWorker
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration

_T = TypeVar("_T", bound=BaseJobConfiguration)

FOLDER = Path(__file__).parents[2] / "deployments"
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:seedance"


def template(name: str) -> dict[str, Any]:
    """Return a template."""
    return dict(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def changes(ours: object, theirs: object, path: str = "") -> Iterator[str]:
    """Yield the paths of all values that differ."""
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        ours, theirs = dict(enumerate(ours)), dict(enumerate(theirs))
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in {**theirs, **ours}:
            yield from changes(ours.get(key), theirs.get(key), f"{path}/{key}")
    elif ours != theirs:
        yield path.removeprefix("/job_configuration/").removeprefix("/variables/")


async def rendered(name: str, kind: type[_T], **values: object) -> _T:
    """Return the configuration of a flow run, as a worker prepares it."""
    nowhere = PrefectClient("http://127.0.0.1:1")  # for blocks, of which there are none
    made: _T = await kind.from_template_and_values(template(name), values, client=nowhere)
    made.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="calm-sea"))
    return made


@pytest.fixture
async def job() -> dict[str, Any]:
    """Render a Job with the defaults of its template."""
    made = await rendered("kubernetes", KubernetesWorkerJobConfiguration)
    return dict(made.job_manifest)


@pytest.fixture
async def task() -> dict[str, Any]:
    """Render a task definition with the defaults of its template and a secret."""
    made = await rendered("ecs", ECSJobConfiguration, seedance_api_key_secret_arn=ARN)
    worker = ECSWorker(work_pool_name="seedance")
    run = FlowRun(id=uuid4(), flow_id=uuid4(), name="calm-sea")
    return dict(worker._prepare_task_definition(made, "eu-central-1", run))


CHANGES = {
    "kubernetes": (
        KubernetesWorker,
        {
            "job_manifest/spec/template/spec/automountServiceAccountToken",
            "job_manifest/spec/template/spec/containers/0/envFrom",
            "job_manifest/spec/template/spec/containers/0/securityContext",
            "job_manifest/spec/template/spec/containers/0/volumeMounts",
            "job_manifest/spec/template/spec/securityContext",
            "job_manifest/spec/template/spec/terminationGracePeriodSeconds",
            "job_manifest/spec/template/spec/volumes",
            "properties/cpu_request/default",
            "properties/finished_job_ttl/default",
            "properties/image/default",
            "properties/image/description",
            "properties/memory_limit/default",
            "properties/memory_request/default",
            "properties/secret_name",
        },
    ),
    "ecs": (
        ECSWorker,
        {
            "properties/cpu/default",
            "properties/image/default",
            "properties/image/description",
            "properties/memory/default",
            "properties/seedance_api_key_secret_arn",
            "required",
            "task_definition/containerDefinitions/0/environment",
            "task_definition/containerDefinitions/0/secrets",
            "task_definition/containerDefinitions/0/stopTimeout",
            "task_definition/containerDefinitions/0/user",
            "task_definition/ephemeralStorage",
        },
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_differs_where_needed(name: str) -> None:
    """A template is the default one of Prefect's worker, except for what these flows need."""
    worker: type[BaseWorker[Any, Any, Any]]
    worker, needed = CHANGES[name]

    assert set(changes(template(name), worker.get_default_base_job_template())) == needed


def test_kubernetes_accepts_the_job(job: dict[str, Any]) -> None:
    """The Job follows the schema of Kubernetes, without any unknown field of ours."""
    for field in ("completions", "parallelism"):  # Prefect requires them here, and Kubernetes ignores them
        del job["spec"]["template"]["spec"][field]

    kubernetes_validate.validate(job, "1.32", strict=True)


def test_job_has_no_privileges(job: dict[str, Any]) -> None:
    """A run is not root, cannot become it, writes only into temporary volumes, and cannot use the cluster."""
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp", "/home/seedance"}  # noqa: S108 -- of the container
    assert spec["automountServiceAccountToken"] is False


def test_secrets_are_references(job: dict[str, Any], task: dict[str, Any]) -> None:
    """Templates name secrets, and have no values."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (defined,) = task["containerDefinitions"]

    assert container["envFrom"] == [{"secretRef": {"name": "seedance"}}]
    assert defined["secrets"] == [{"name": "SEEDANCE_API_KEY", "valueFrom": ARN}]
    named = {each["name"] for each in [*container["env"], *defined["environment"]]}
    assert not {name for name in named if name.startswith(("SEEDANCE_", "AWS_"))}


async def test_secret_has_another_name() -> None:
    """A deployment can name another Secret, for another account."""
    made = await rendered("kubernetes", KubernetesWorkerJobConfiguration, secret_name="studio")

    (container,) = made.job_manifest["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "studio"}}]


def test_stopped_runs_start_again(job: dict[str, Any], task: dict[str, Any]) -> None:
    """A run whose container is stopped gets the time that Prefect gives it, and is scheduled again."""
    behaviour = {"name": "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR", "value": "reschedule"}
    spec = job["spec"]["template"]["spec"]
    (defined,) = task["containerDefinitions"]

    assert behaviour in spec["containers"][0]["env"]
    assert behaviour in defined["environment"]
    # Prefect kills a run 30 s after the signal; before that, it asks the server for the new state.
    assert spec["terminationGracePeriodSeconds"] == defined["stopTimeout"] == 60


def test_aws_accepts_the_task(task: dict[str, Any]) -> None:
    """The task definition follows the service model of ECS."""
    shape = botocore.session.get_session().get_service_model("ecs").shape_for("RegisterTaskDefinitionRequest")

    report = ParamValidator().validate(task, shape)

    assert not report.has_errors(), report.generate_report()
    assert set(task) <= set(shape.members)
    assert task["containerDefinitions"][0]["user"] == "1000:1000"
