"""The deployments of `deployments/prefect.yaml`, run by a real worker."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect_aws import AwsCredentials, S3Bucket
from prefect_aws.client_parameters import AwsClientParameters
from pydantic import SecretStr

from prefect_seedance import ClipArchive, SeedanceClip, SeedanceCredentials
from prefect_seedance.production.catalog_options import CatalogOptions
from tests.flows.conftest import Api, account, eventually
from tests.processes import BIN, CALLBACK_SECRET, S3, Receiver, Sandbox, environment, forked, forking

ROOT = Path(__file__).parents[2]
_COMMAND_SECONDS = 180.0
"""A flow run starts in 5 s and polls first after 40 s; both take longer on a busy machine."""

_NO_RETRIES = {"retry_failed": False, "retry_rejected": False}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def shell(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of a user with the server but without an account."""
    home = tmp_path_factory.mktemp("user")
    return environment(
        home, PREFECT_API_URL=prefect_server, PREFECT_WORKER_QUERY_SECONDS="1", COLUMNS="200", NO_COLOR="1"
    )


@pytest.fixture(scope="module")
def prefect(shell: dict[str, str]) -> Run:
    """Return a function that runs Prefect's command in the repository's root."""

    def run(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        ran = forked(BIN / "prefect", *arguments, env=shell, cwd=cwd, seconds=_COMMAND_SECONDS)
        ran.check_returncode()
        return ran

    return run


@dataclass(frozen=True)
class Deployed:
    """The deployments as stored on the server."""

    storyboard: dict[str, Any]
    clips: dict[str, Any]
    submissions: dict[str, Any]


@pytest.fixture(scope="module")
def deployed(prefect: Run, api: Api) -> Deployed:
    """Deploy as described in deployments/README.md."""
    prefect("work-pool", "create", "seedance", "--type", "process")
    prefect("--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml")
    return Deployed(
        storyboard=api.get("/deployments/name/storyboard-to-transitions/storyboard"),
        clips=api.get("/deployments/name/generate-clips/clips"),
        submissions=api.get("/deployments/name/resolve-submissions/submissions"),
    )


@pytest.fixture
def worker(deployed: Deployed, shell: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """Run a worker and yield its log."""
    assert deployed
    log = tmp_path / "worker.log"
    with log.open("w") as out:
        command = (BIN / "prefect", "worker", "start", "--pool", "seedance")
        options = {"cwd": tmp_path, "stdout": out, "stderr": subprocess.STDOUT}
        with forking(*command, env=shell, **options):
            yield log


@pytest.mark.parametrize("name", ["storyboard", "clips", "submissions"])
def test_deployment_can_be_run(deployed: Deployed, name: str) -> None:
    """A deployment runs in the repository's root, a few runs at a time; other runs are queued."""
    deployment = getattr(deployed, name)

    assert deployment["tags"] == ["seedance"]
    assert deployment["version"] == "1"
    assert deployment["description"]
    assert deployment["work_pool_name"] == "seedance"
    assert deployment["pull_steps"] == [
        {"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}
    ]
    assert deployment["parameters"] == {"archive": "productions"}
    assert deployment["global_concurrency_limit"]["limit"] == (
        CatalogOptions().at_a_time if name == "storyboard" else 1
    )
    assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"


@pytest.mark.parametrize(("name", "source"), [("storyboard", "storyboard"), ("clips", "clips")])
def test_schedule_is_inactive(deployed: Deployed, api: Api, name: str, source: str) -> None:
    """A schedule has all required parameters, but is inactive."""
    (schedule,) = getattr(deployed, name)["schedules"]
    required = set(getattr(deployed, name)["parameter_openapi_schema"]["required"])

    runs = api.filter("/flow_runs", deployments={"id": {"any_": [getattr(deployed, name)["id"]]}})
    assert schedule["active"] is False
    assert schedule["slug"] == "hourly"
    assert required == {source} == set(schedule["parameters"])
    assert runs == []


@pytest.mark.parametrize(
    ("storyboard", "field", "reason"),
    [
        pytest.param(
            {"shots": [{"image": "https://cdn/a.png", "promt": "waves"}]},
            "storyboard.shots[0]",
            "'promt' was unexpected",
            id="misspelt",
        ),
        pytest.param(
            {"shots": [{"image": "https://cdn/a.png", "fit": "stretch"}]},
            "storyboard.shots[0].fit",
            "'stretch' is not one of",
            id="not offered",
        ),
        pytest.param(7, "storyboard", "not valid", id="neither path nor object"),
    ],
)
def test_bad_parameter_is_refused(
    deployed: Deployed, api: Api, storyboard: object, field: str, reason: str
) -> None:
    """A run with an invalid parameter is refused before it is created; the message names the field."""
    response = api.post(
        f"/deployments/{deployed.storyboard['id']}/create_flow_run",
        {"parameters": {"storyboard": storyboard}},
    )

    assert response.status_code == 409
    assert repr(field) in response.json()["detail"]
    assert reason in response.json()["detail"]


def test_worker_runs_both(
    prefect: Run,
    api: Api,
    deployed: Deployed,
    worker: Path,
    board: Path,
    archive: Path,
    sandbox: Sandbox,
    s3: S3,
) -> None:
    """A worker makes all clips of runs started from a shell with a path or by the API with an object.

    Account and bucket are stored blocks, so that neither shell nor worker needs a key. Runs emit heartbeats.
    """
    account(sandbox).save("studio", overwrite=True)
    bucket = _save_bucket(s3, name="studio")
    clips = {"title": "Sounds", "clips": [{"prompt": "a bell rings over the sea"}]}
    parameters = {"archive": str(archive), "credentials": "studio", "images_url": sandbox.hosted}
    options = [item for name, value in parameters.items() for item in ("--param", f"{name}={value}")]

    created = api.post(
        f"/deployments/{deployed.clips['id']}/create_flow_run",
        {"parameters": {**parameters, "archive": "block:studio", "clips": clips}},
    ).json()
    watched = prefect(
        "deployment", "run", "storyboard-to-transitions/storyboard", "--watch",
        "--param", f"storyboard={board}", *options,
    )  # fmt: skip

    inline = eventually(lambda: _ended(api, created["id"]))
    log = worker.read_text()
    assert inline["state"]["message"] == "Sounds: 1 made; 4 s billed", log
    assert inline["name"] == "produce Sounds"
    assert eventually(lambda: _heartbeats(api, created["id"]))
    assert "Test board: 2 made; 8 s billed" in log, watched.stdout
    assert len(list(archive.glob("clips/*/clip-*.mp4"))) == 2
    intents = [json.loads(path.read_bytes()) for path in archive.glob("clips/*/*/intent.json")]
    assert {intent["flow_run"]["deployment_id"] for intent in intents} == {deployed.storyboard["id"]}
    assert [key for key in s3.contents(bucket) if key.endswith(".mp4")]


_THEIR_FLOW = """
from prefect import flow
from prefect_seedance import SeedanceClip

@flow
def make(clip: str) -> str:
    run = SeedanceClip.load(clip).trigger()
    run.wait_for_completion()
    print("made", run.fetch_result().key)
"""


@pytest.mark.usefixtures("worker")
def test_worker_makes_stored_clip(prefect: Run, sandbox: Sandbox, s3: S3, tmp_path: Path) -> None:
    """A user's flow on a worker needs the name of a clip block only."""
    bucket = _save_bucket(s3, name="bells")
    account(sandbox).save("bells", overwrite=True)
    SeedanceClip(
        prompt="a bell rings over the sea",
        credentials=SeedanceCredentials.load("bells"),
        archive=ClipArchive.load("bells"),
        first_poll_seconds=0.5,
        poll_every_seconds=0.5,
    ).save("bell", overwrite=True)
    (tmp_path / "theirs.py").write_text(_THEIR_FLOW, encoding="utf-8")
    arguments = ("deploy", "theirs.py:make", "--name", "clip", "--pool", "seedance")
    prefect("--no-prompt", *arguments, cwd=tmp_path)

    for _ in range(2):
        watched = prefect("deployment", "run", "make/clip", "--watch", "--param", "clip=bell")
        assert "Completed" in watched.stdout

    assert [key for key in s3.contents(bucket) if key.endswith(".mp4")]
    assert sandbox.totals()["submits_received"] == 1


@pytest.mark.usefixtures("worker")
def test_worker_resolves_submissions(prefect: Run, sandbox: Sandbox, archive: Path) -> None:
    """The flow that asks about unresolved submissions ends at once if there are none."""
    account(sandbox).save("resolving", overwrite=True)
    arguments = ("deployment", "run", "resolve-submissions/submissions", "--watch")

    watched = prefect(*arguments, "--param", f"archive={archive}", "--param", "credentials=resolving")

    assert "Completed" in watched.stdout


def _save_bucket(s3: S3, *, name: str) -> str:
    """Save a bucket and an archive as blocks, as users do in Prefect's forms."""
    bucket = s3.bucket()
    credentials = AwsCredentials(
        aws_access_key_id=s3.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=SecretStr(s3.env["AWS_SECRET_ACCESS_KEY"]),
        region_name=s3.env["AWS_REGION"],
        aws_client_parameters=AwsClientParameters(endpoint_url=s3.url),
    )
    S3Bucket(bucket_name=bucket, credentials=credentials).save(name, overwrite=True)
    ClipArchive(s3_bucket=name).save(name, overwrite=True)
    return bucket


def _archived(manifest: Path) -> int:
    return sum(clip["clip"] is not None for clip in json.loads(manifest.read_text())["clips"])


def _ended(api: Api, flow_run_id: str) -> dict[str, Any]:
    run = dict(api.get(f"/flow_runs/{flow_run_id}"))
    return run if run["state_type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"} else {}


def _heartbeats(api: Api, flow_run_id: str) -> list[object]:
    wanted = {
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "resource": {"id": [f"prefect.flow-run.{flow_run_id}"]},
    }
    return list(api.post("/events/filter", {"filter": wanted}).raise_for_status().json()["events"])


def test_automation_completes(
    prefect: Run,
    api: Api,
    deployed: Deployed,
    worker: Path,
    archive: Path,
    start_sandbox: Callable[..., Sandbox],
    start_receiver: Callable[..., Receiver],
    prefect_server: str,
) -> None:
    """An automation completes a production of runs that do not wait, by starting a run when clips end.

    No run is active while the API generates the clips, and clips that end together start one run.
    """
    sandbox = start_sandbox(speed=4)
    receiver = start_receiver(archive, env={**sandbox.env, "PREFECT_API_URL": prefect_server})
    callback_account = account(sandbox).model_copy(update={"callback_secret": SecretStr(CALLBACK_SECRET)})
    callback_account.save("bells-callback", overwrite=True)
    prefect("automation", "create", "--from-file", "deployments/automations.yaml")
    clips = {"title": "Bells", "clips": [{"prompt": f"bell number {number} rings"} for number in range(20)]}
    parameters = {
        "clips": clips,
        "archive": str(archive),
        "credentials": "bells-callback",
        "callback_url": receiver.url,
        "wait": False,
    }

    path = f"/deployments/{deployed.clips['id']}/create_flow_run"
    first = api.post(path, {"parameters": parameters}).json()
    ended = eventually(lambda: _ended(api, first["id"]), seconds=_COMMAND_SECONDS)
    made_meanwhile = len(list(archive.glob("clips/*/clip.json")))
    manifest = archive / "productions" / "bells" / "manifest.json"
    complete = eventually(lambda: _archived(manifest) == 20, seconds=150)

    runs = api.filter("/flow_runs", flow_runs={"name": {"like_": "produce Bells"}})
    log = worker.read_text()
    assert ended["state"]["name"] == "InFlight", log
    assert ended["state"]["message"] == "Bells: 20 in flight; 80 s billed"
    assert made_meanwhile == 0
    assert complete, log
    assert 2 <= len(runs) <= 6, [run["state"]["message"] for run in runs]
    assert all(run["parameters"] == {**parameters, **_NO_RETRIES} for run in runs if run["id"] != first["id"])
    assert sandbox.totals()["accepted"] == 20
    assert sandbox.totals()["duplicates"] == 0
    assert max(each["status_reads"] for each in sandbox.books()["generations"]) <= 2
