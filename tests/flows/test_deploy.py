"""`prefect-seedance deploy`, with a real server; a journey runs a deployment on a worker."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from prefect_seedance import SeedanceCredentials
from prefect_seedance.cli import main
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.shipped import shipped
from prefect_seedance.flows import generate_clips
from prefect_seedance.orchestration.deploy import Target
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
    _delete_deployments(api)
    yield
    _delete_deployments(api)


def _delete_deployments(api: Api) -> None:
    for each in api.filter("/deployments"):
        api.delete(f"/deployments/{each['id']}")


@pytest.fixture
def account_block(prefect_server: str) -> str:
    """Store an account."""
    assert prefect_server
    SeedanceCredentials(api_key=SecretStr("key-of-the-fleet")).save("fleet", overwrite=True)
    return "fleet"


def _deploy(capsys: pytest.CaptureFixture[str], *options: object) -> list[dict[str, Any]]:
    code = main(["deploy", *map(str, options), "--json"])
    output = capsys.readouterr()
    assert code == 0, output.err
    return list(json.loads(output.out)["deployments"])


def _deploy_limit(capsys: pytest.CaptureFixture[str], *options: object) -> dict[str, Any]:
    assert main(["deploy", *map(str, options), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out)["account_limit"])


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
    deployed = _deploy(capsys, "--pool", pool, "--dry-run")

    assert len(deployed) == len(_SHIPPED)
    assert api.filter("/deployments") == []


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


def test_missing_pool_is_an_error(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the work pool, nothing is created, and the message says how to create it."""
    assert main(["deploy", "--pool", "nowhere"]) == ExitCode.setup

    assert "prefect work-pool create nowhere --type process" in capsys.readouterr().err
    assert api.filter("/deployments") == []


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
