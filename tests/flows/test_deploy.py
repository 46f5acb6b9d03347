"""`prefect-seedance deploy`, with a real server; a journey runs a deployment on a worker."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.types import SecretDict
from pydantic import SecretStr

from prefect_seedance import SeedanceCredentials
from prefect_seedance.cli import main
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.shipped import shipped
from prefect_seedance.errors import SetupError
from prefect_seedance.flows import generate_clips
from prefect_seedance.orchestration.deploy import Files, Target, deploy
from tests.flows.conftest import Api

_SHIPPED = yaml.safe_load(shipped("deployments/prefect.yaml").read_text(encoding="utf-8"))["deployments"]
_CLIPS = "generate-clips/clips"


@pytest.fixture
def pool(api: Api) -> str:
    """Create a work pool."""
    if not api.filter("/work_pools", work_pools={"name": {"any_": ["deploying"]}}):
        api.post("/work_pools/", {"name": "deploying", "type": "process"})
    return "deploying"


@pytest.fixture(autouse=True)
def _empty_server(api: Api, monkeypatch: pytest.MonkeyPatch, prefect_server: str) -> Iterator[None]:
    """Use the tests' server without deployments of other tests, and leave none to them."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    monkeypatch.delenv("SEEDANCE_ARCHIVE", raising=False)
    monkeypatch.delenv("SEEDANCE_API_KEY", raising=False)
    api.undeploy()
    yield
    api.undeploy()


class Pager(NotificationBlock):
    """A notification block of a team."""

    async def notify(self, body: str, subject: str | None = None) -> None:
        """Notify no one."""


@pytest.fixture
def account_block(prefect_server: str) -> str:
    """Store an account."""
    assert prefect_server
    SeedanceCredentials(api_key=SecretStr("key-of-the-fleet")).save("fleet", overwrite=True)
    return "fleet"


@pytest.fixture
def alerts() -> str:
    """Store a notification block, and return its full name."""
    webhook = CustomWebhookNotificationBlock(name="alerts", url="http://127.0.0.1:9/", secrets=SecretDict({}))
    webhook.save("alerts-of-deploy", overwrite=True)
    return "custom-webhook/alerts-of-deploy"


def _report(capsys: pytest.CaptureFixture[str], *options: object) -> dict[str, Any]:
    code = main(["deploy", *map(str, options), "--json"])
    output = capsys.readouterr()
    assert code == 0, output.err
    return dict(json.loads(output.out))


def _deploy(capsys: pytest.CaptureFixture[str], *options: object) -> list[dict[str, Any]]:
    return list(_report(capsys, *options)["deployments"])


def _names(file: str) -> set[str]:
    content = yaml.safe_load(shipped(f"deployments/{file}").read_text(encoding="utf-8"))
    return {each["name"] for each in content["automations"]}


def _sorted(automations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(automations, key=lambda each: str(each["name"]))


def _deploy_limit(capsys: pytest.CaptureFixture[str], *options: object) -> dict[str, Any]:
    return dict(_report(capsys, *options)["account_limit"])


def _read(api: Api) -> dict[str, Any]:
    return dict(api.get(f"/deployments/name/{_CLIPS}"))


def test_creates_all_deployments(
    api: Api, pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each deployment of `prefect.yaml` is created, with a module to run, and inactive schedules."""
    monkeypatch.chdir(tmp_path)

    deployed = _deploy(capsys, "--pool", pool)

    names = {each["name"] for each in _SHIPPED}
    stored = {each["name"]: each for each in api.filter("/deployments") if each["name"] in names}
    assert [each["action"] for each in deployed] == ["create"] * len(_SHIPPED)
    assert stored.keys() == names
    for wanted in _SHIPPED:
        each = stored[wanted["name"]]
        limit = each["global_concurrency_limit"]
        assert {
            "work_pool_name": pool,
            **{name: wanted[name] for name in ("description", "tags", "version")},
        }.items() <= each.items()
        assert (limit and limit["limit"]) == wanted.get("concurrency_limit", {}).get("limit")
        assert [schedule["slug"] for schedule in each["schedules"]] == [
            schedule["slug"] for schedule in wanted.get("schedules", ())
        ]
        assert not any(schedule["active"] for schedule in each["schedules"])
        assert each["parameters"] == {"archive": str(tmp_path / "productions")}
        assert str(tmp_path) in str(each["pull_steps"])
    clips = stored["clips"]
    assert clips["entrypoint"] == "prefect_seedance.flows.generate_clips.generate_clips"
    assert clips["parameter_openapi_schema"] == generate_clips.parameters.model_dump()
    assert clips["concurrency_options"]["collision_strategy"] == "ENQUEUE"


def test_update_keeps_choices(api: Api, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run keeps archive, pool, folder and schedules; another archive would buy all clips again."""
    _deploy(capsys, "--pool", pool, "--archive", "s3://studio", "--directory", "/srv/films")
    before = _read(api)
    api.patch(f"/deployments/{before['id']}/schedules/{before['schedules'][0]['id']}", {"active": True})

    deployed = _deploy(capsys)

    after = _read(api)
    assert {each["action"] for each in deployed} == {"update"}
    assert {each["archive"] for each in deployed} == {"s3://studio"}
    assert after["schedules"][0]["active"] is True
    assert "/srv/films" in str(after["pull_steps"])
    kept = ("id", "entrypoint", "parameters", "pull_steps", "work_pool_name", "concurrency_options")
    assert [after[name] for name in kept] == [before[name] for name in kept]


def test_environment_names_archives_of_new_ones(
    api: Api, pool: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The environment's archive is for new deployments; existing ones would buy all clips again."""
    monkeypatch.setenv("SEEDANCE_ARCHIVE", "s3://studio")
    _deploy(capsys, "--pool", pool)
    monkeypatch.setenv("SEEDANCE_ARCHIVE", "s3://other")

    deployed = _deploy(capsys)

    assert {each["archive"] for each in deployed} == {"s3://studio"}
    assert _read(api)["parameters"] == {"archive": "s3://studio"}


def test_update_changes_what_is_named(api: Api, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An option changes existing deployments too."""
    _deploy(capsys, "--pool", pool, "--archive", "s3://studio")

    _deploy(capsys, "--archive", "s3://other", "--directory", "/srv/films")

    assert _read(api)["parameters"] == {"archive": "s3://other"}
    assert "/srv/films" in str(_read(api)["pull_steps"])


def test_all_runs_use_the_named_account(
    api: Api, pool: str, capsys: pytest.CaptureFixture[str], account_block: str
) -> None:
    """Runs on a schedule use the named block too, so that no worker needs a key; joining needs no account."""
    _deploy(capsys, "--pool", pool)
    _deploy(capsys, "--credentials", account_block)
    _deploy(capsys)

    found = {each["name"]: each["parameters"].get("credentials") for each in api.filter("/deployments")}
    assert found.pop("film") is None
    assert set(found.values()) == {account_block}


def test_storyboards_at_a_time(api: Api, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The bound of storyboards is set at first and later, and kept if it is not named."""
    limits = []
    for options in (("--at-a-time", 9), (), ("--at-a-time", 20)):
        _deploy(capsys, "--pool", pool, *options)
        stored = {each["name"]: each["global_concurrency_limit"] for each in api.filter("/deployments")}
        limits.append((stored["storyboard"]["limit"], stored["clips"]["limit"]))

    assert limits == [(9, 1), (9, 1), (20, 1)]


def test_dry_run_changes_nothing(api: Api, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run shows what would be done."""
    report = _report(capsys, "--pool", pool, "--dry-run")

    assert len(report["deployments"]) == len(_SHIPPED)
    assert {each["name"] for each in report["automations"] if each["action"] == "create"} == _names(
        "automations.yaml"
    )
    assert api.filter("/deployments") == api.filter("/automations") == []


def test_creates_the_limit_of_the_account(
    api: Api, pool: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The account gets a limit with room for its requests and generations, which a second run keeps."""
    monkeypatch.setenv("SEEDANCE_API_KEY", "key-of-the-studio")

    created, limit = (_deploy_limit(capsys, "--pool", pool) for _ in range(2))

    assert (created["action"], created["slots"]) == ("create", 1_000)
    assert limit == {**created, "action": "keep"}
    assert created["name"].startswith("seedance-api.apixo.ai-")
    assert api.get(f"/v2/concurrency_limits/{created['name']}")["limit"] == 1_000


def test_requests_bound_the_slots(api: Api, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An account with few requests a minute gets few slots, whatever its block's limit of generations."""
    account = SeedanceCredentials(api_key=SecretStr("slow"), requests_per_minute=600)
    account.save("slow", overwrite=True)

    limit = _deploy_limit(capsys, "--pool", pool, "--credentials", "slow", "--dry-run")

    assert limit["slots"] == 60
    assert limit["name"] not in {each["name"] for each in api.filter("/v2/concurrency_limits")}


def test_no_account_has_no_limit(pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an account, the deployments are created, and the output says how to name one."""
    assert main(["deploy", "--pool", pool]) == 0

    assert "name a block with --credentials" in capsys.readouterr().out


def test_creates_missing_pool(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """A work pool that does not exist is created for processes, and the output says so."""
    name = f"pool-{uuid4()}"

    dry, made, kept = (
        _report(capsys, "--pool", name, *options)["pools"] for options in (["--dry-run"], [], [])
    )

    assert dry == made == [{"name": name, "action": "create", "type": "process"}]
    assert kept == [{"name": name, "action": "keep", "type": "process"}]
    assert api.get(f"/work_pools/{name}")["type"] == "process"
    assert main(["deploy", "--pool", f"{name}-2", "--dry-run"]) == 0
    assert f"Work pool: {name}-2, process, would be created." in capsys.readouterr().out
    assert api.filter("/work_pools", work_pools={"name": {"any_": [f"{name}-2"]}}) == []


def test_image_needs_pool_for_containers(api: Api, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An image is refused for a pool of processes; another pool is created for containers."""
    image, name = ("--image", "registry/seedance:1", "--archive", "s3://studio"), f"pool-{uuid4()}"

    refused = main(["deploy", "--pool", pool, *image])
    message = capsys.readouterr().err
    _deploy(capsys, "--pool", name, *image)
    _deploy(capsys)

    assert refused == ExitCode.setup
    assert f"The work pool {pool!r} is of the type process" in message
    assert api.get(f"/work_pools/{name}")["type"] == "docker"
    clips = _read(api)
    assert clips["job_variables"]["image"] == "registry/seedance:1"
    assert "'/tmp'" in str(clips["pull_steps"])


@pytest.mark.parametrize(
    ("options", "is_moved"),
    [
        (("--image", "seedance:1"), False),
        (("--image", "seedance:1"), True),
        ((), False),
        (("--archive", "films"), False),
    ],
    ids=["image", "moved from processes", "pool for containers", "relative folder"],
)
def test_containers_need_a_shared_archive(
    api: Api, pool: str, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], *, is_moved: bool
) -> None:
    """A folder of a container would lose paid clips, so nothing is created or changed."""
    name = f"pool-{uuid4()}"
    if "--image" not in options:
        api.post("/work_pools/", {"name": name, "type": "kubernetes"}).raise_for_status()
    if is_moved:
        _deploy(capsys, "--pool", pool)
    before = api.filter("/deployments")

    assert main(["deploy", "--pool", name, *options]) == ExitCode.setup

    assert "--archive" in capsys.readouterr().err
    assert api.filter("/deployments") == before


@pytest.mark.parametrize("archive", ["s3://studio", "block:studio", "/mnt/films", "file:///mnt/films"])
def test_containers_keep_a_shared_archive(api: Api, capsys: pytest.CaptureFixture[str], archive: str) -> None:
    """A bucket, a block and the path of a volume are accepted, and kept by an upgrade."""
    name = f"pool-{uuid4()}"
    _deploy(capsys, "--pool", name, "--image", "seedance:1", "--archive", archive)

    _deploy(capsys, "--image", "seedance:2")

    assert _read(api)["parameters"] == {"archive": archive}
    assert _read(api)["job_variables"]["image"] == "seedance:2"


def test_update_keeps_several_archives(api: Api, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A rescue of several archives is kept, and shown with all of them."""
    _deploy(capsys, "--pool", pool)
    rescue = dict(api.get("/deployments/name/rescue-clips/rescue"))
    api.patch(f"/deployments/{rescue['id']}", {"parameters": {"archive": ["s3://studio", "s3://other"]}})

    assert main(["deploy"]) == 0

    assert "s3://studio, s3://other" in " ".join(capsys.readouterr().out.split())
    kept = api.get(f"/deployments/{rescue['id']}")["parameters"]
    assert kept == {"archive": ["s3://studio", "s3://other"]}


def test_update_keeps_job_variables(api: Api, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs emit heartbeats, unless a person decides otherwise; other job variables are kept."""
    _deploy(capsys, "--pool", pool)
    created = _read(api)["job_variables"]
    changed = {"stream_output": False, "env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "60", "MINE": "1"}}
    api.patch(f"/deployments/{_read(api)['id']}", {"job_variables": changed})

    _deploy(capsys)

    assert created == {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}}
    assert _read(api)["job_variables"] == changed


def test_registers_types_of_blocks(api: Api, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Prefect's UI has forms for the package's blocks."""
    _deploy(capsys, "--pool", pool)

    for slug in ("seedance-credentials", "clip-archive"):
        assert api.get(f"/block_types/slug/{slug}")["slug"] == slug


def test_automations_need_a_block(api: Api, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a notification block, only the automations that need none are created; the output says how."""
    assert main(["deploy", "--pool", pool]) == 0

    assert "name a block with --notify" in capsys.readouterr().out
    assert {each["name"] for each in api.filter("/automations")} == _names("automations.yaml")


def test_automations_are_updated(
    api: Api, pool: str, alerts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second run updates automations by name; a disabled one stays disabled, and the block is kept."""
    first = _report(capsys, "--pool", pool, "--notify", alerts)["automations"]
    disabled = api.filter("/automations")[0]
    api.patch(f"/automations/{disabled['id']}", {"enabled": False})
    before = api.filter("/automations")

    second = _report(capsys)["automations"]

    after = api.filter("/automations")
    assert {each["action"] for each in first} == {"create"}
    assert {each["action"] for each in second} == {"update"}
    assert {each["name"] for each in after} == _names("automations.yaml") | _names("notifications.yaml")
    assert [each["name"] for each in second if not each["enabled"]] == [disabled["name"]]
    facts = ("id", "name", "enabled", "actions", "description")
    assert [{key: each[key] for key in facts} for each in _sorted(after)] == [
        {key: each[key] for key in facts} for each in _sorted(before)
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "no notification block 'nobody'. It has "),
        ("seedance-credentials/alerts-of-deploy", "no notification block"),
        ("alerts-of-deploy", "Several notification blocks are named 'alerts-of-deploy'; name one of "),
    ],
)
def test_wrong_block_is_an_error(
    api: Api, pool: str, alerts: str, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    """A name that is no notification block's, or several blocks', is refused before anything is created."""
    account = SeedanceCredentials(api_key=SecretStr("unable-to-notify"))
    account.save("alerts-of-deploy", overwrite=True)
    Pager().save("alerts-of-deploy", overwrite=True)

    assert main(["deploy", "--pool", pool, "--notify", name]) == ExitCode.setup

    error = " ".join(capsys.readouterr().err.split())
    assert message in error
    assert alerts in error
    assert api.filter("/deployments") == api.filter("/automations") == []


@pytest.mark.parametrize(
    "options",
    [
        ("--notify", "nobody"),
        ("--image", "seedance:1"),
        ("--image", "seedance:1", "--archive", "s3://studio"),
        ("--credentials", "nobody"),
    ],
    ids=["no block", "no archive", "no containers", "no account"],
)
def test_refusal_creates_nothing(
    api: Api, pool: str, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """Whatever is wrong is refused before anything is created, also the account's limit."""
    monkeypatch.setenv("SEEDANCE_API_KEY", "key-of-a-refused-deployment")
    before = api.filter("/v2/concurrency_limits")

    assert main(["deploy", "--pool", pool, *options]) == ExitCode.setup

    assert api.filter("/v2/concurrency_limits") == before
    assert api.filter("/deployments") == api.filter("/automations") == []


async def test_deploying_again_continues(
    api: Api, pool: str, alerts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the server refuses an automation, the next run creates what the first one did not."""
    notifications = shipped("deployments/notifications.yaml").read_text(encoding="utf-8")
    broken = tmp_path / "notifications.yaml"
    broken.write_text(notifications.replace("expires soon", "expires {{ soon"), encoding="utf-8")
    automations = [shipped("deployments/automations.yaml"), broken]
    files = Files(shipped("deployments/prefect.yaml"), automations)

    with pytest.raises(SetupError, match="run the command again"):
        await deploy(files, Target(pool, "s3://studio"), notify=alerts)
    created = {each["name"] for each in api.filter("/automations")}
    report = await asyncio.to_thread(_report, capsys, "--notify", alerts)

    assert {(each["action"], each["archive"]) for each in report["deployments"]} == {
        ("update", "s3://studio")
    }
    assert {each["name"] for each in report["automations"] if each["action"] == "update"} == created
    assert _names("automations.yaml") < created
    assert {each["name"] for each in api.filter("/automations")} == _names("automations.yaml") | _names(
        "notifications.yaml"
    )


def test_missing_server_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a configured server, nothing is started."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "")

    assert main(["deploy"]) == ExitCode.setup
    assert "set PREFECT_API_URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("archive", "located"),
    [
        ("films", "/srv/films"),
        ("/mnt/films", "/mnt/films"),
        ("s3://studio/films", "s3://studio/films"),
        ("block:studio", "block:studio"),
    ],
)
def test_folder_is_absolute(archive: str, located: str) -> None:
    """An archive that is a folder does not depend on where a run starts: workers delete their folders."""
    assert Target(directory="/srv").locate(archive) == located
