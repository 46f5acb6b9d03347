"""Catalogues, with a real Prefect server and two workers."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.client.schemas.objects import FlowRun

from prefect_seedance.api.account import account_name
from prefect_seedance.cli import main
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration import child_runs
from prefect_seedance.orchestration.child_runs import ChildRuns, Ended
from prefect_seedance.production.catalog_options import STORYBOARD_DEPLOYMENT
from tests.flows.conftest import Api, eventually
from tests.processes import BIN, Sandbox, environment, running

_SLOTS = 6


@dataclass(frozen=True)
class Studio:
    """A folder with storyboards, an archive and a sandbox."""

    folder: Path
    archive: Path
    sandbox: Sandbox
    capsys: pytest.CaptureFixture[str]

    def write(self, name: str, **content: object) -> Path:
        """Write a list of two clips with this title."""
        clips = [{"prompt": f"bell {number} of {name} rings"} for number in range(2)]
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"title": name, "clips": clips, **content}), encoding="utf-8")
        return path

    def make(self, source: Path | str | None = None, *more: object) -> tuple[int, dict[str, Any]]:
        """Run the command, and return exit code and manifest."""
        options = ("--archive", self.archive, "--param", "film=false", *more, "--json")
        code = main(["catalog", str(source or self.folder), *map(str, options)])
        output = self.capsys.readouterr()
        assert output.out, output.err
        return code, json.loads(output.out)


@pytest.fixture
def studio(
    api: Api,
    prefect_server: str,
    start_sandbox: Callable[..., Sandbox],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Studio:
    """Deploy the flows for an account with few slots, as a team does."""
    sandbox = start_sandbox(max_in_flight=_SLOTS, requests_per_minute=12 * _SLOTS, speed=30)
    for variable, value in {**sandbox.env, "PREFECT_API_URL": prefect_server}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("SEEDANCE_ARCHIVE", raising=False)
    if not api.filter("/work_pools", work_pools={"name": {"any_": ["fleet"]}}):
        api.post("/work_pools/", {"name": "fleet", "type": "process"})
    (tmp_path / "season").mkdir()
    assert main(["deploy", "--pool", "fleet", "--archive", str(tmp_path), "--directory", str(tmp_path)]) == 0
    api.patch(f"/v2/concurrency_limits/{account_name(sandbox.url, sandbox.key)}", {"limit": _SLOTS})
    capsys.readouterr()
    return Studio(tmp_path / "season", tmp_path / "archive", sandbox, capsys)


@pytest.fixture
def workers(studio: Studio, prefect_server: str, tmp_path: Path) -> Iterator[None]:
    """Run two workers."""
    with ExitStack() as stack:
        for number in range(2):
            home = tmp_path / f"worker-{number}"
            home.mkdir()
            env = environment(
                home, PREFECT_API_URL=prefect_server, PREFECT_WORKER_QUERY_SECONDS="1", **studio.sandbox.env
            )
            log = stack.enter_context((home / "worker.log").open("w"))
            command = (BIN / "prefect", "worker", "start", "--pool", "fleet", "--name", f"worker-{number}")
            stack.enter_context(running(*command, env=env, cwd=home, stdout=log, stderr=subprocess.STDOUT))
        yield


def _runs(api: Api) -> list[dict[str, Any]]:
    deployment = api.get(f"/deployments/name/{STORYBOARD_DEPLOYMENT}")
    return api.filter("/flow_runs", deployments={"id": {"any_": [deployment["id"]]}})


def _statuses(manifest: dict[str, Any]) -> dict[str, str]:
    return {each["title"] or Path(each["storyboard"]).stem: each["status"] for each in manifest["entries"]}


@pytest.mark.usefixtures("workers")
def test_catalogue_is_made_once(studio: Studio, api: Api) -> None:
    """Each storyboard is made by a run of its own, within the account's limits; failures stop no others.

    Made again, complete storyboards need no run, and the others are tried again.
    """
    for name in ("a", "b", "c", "d"):
        studio.write(name)
    studio.write("broken", clips=[{"promt": "waves"}])
    file = studio.folder / "season.csv"
    file.write_text(
        "storyboard,priority,max_seconds\na.yaml,,\nb.yaml,,\nbroken.yaml,1,\nc.yaml,2,\nd.yaml,,7\n",
        encoding="utf-8",
    )

    code, first = studio.make(file)
    before = studio.sandbox.totals()
    runs = len(_runs(api))
    again, second = studio.make(file)

    assert [each["title"] for each in first["entries"]] == ["", "c", "a", "b", "d"]
    assert _statuses(first) == {"a": "made", "b": "made", "c": "made", "d": "failed", "broken": "invalid"}
    assert "more than its limit of 7 s" in first["entries"][4]["reason"]
    assert "promt" in first["entries"][0]["reason"]
    assert (before["accepted"], before["submits_received"], before["duplicates"]) == (6, 6, 0)
    assert before["max_in_flight"] <= _SLOTS
    assert _statuses(second) == {**dict.fromkeys("abc", "complete"), "d": "failed", "broken": "invalid"}
    assert code == again == ExitCode.failed
    assert len(_runs(api)) == runs + 1
    assert studio.sandbox.totals()["accepted"] == 6
    stored = studio.archive / "catalogs" / "season"
    assert json.loads((stored / "manifest.json").read_text())["entries"] == second["entries"]
    assert "../../productions/a/report.html" in (stored / "index.html").read_text()
    (artifact,) = api.filter("/artifacts/latest", artifacts={"key": {"any_": ["seedance-catalog-season"]}})
    assert artifact["type"] == "table"
    resource = "seedance.catalog.season"
    ended = eventually(lambda: api.events_labelled("prefect.resource.id", resource)["events"])
    assert {event["event"] for event in ended} == {"seedance.catalog.ended"}
    assert ended[0]["payload"]["archive"] == str(studio.archive)


def test_waiting_runs_are_taken_over(studio: Studio, api: Api) -> None:
    """Without a worker, the catalogue ends at its deadline; made again, it starts no second runs."""
    studio.write("waiting")
    before = len(_runs(api))

    code, manifest = studio.make(None, "--deadline", "8s")
    again, _ = studio.make(None, "--deadline", "8s")

    (run,) = [each for each in _runs(api) if each["name"] == "produce waiting"]
    assert _statuses(manifest) == {"waiting": "not run"}
    assert manifest["entries"][0]["flow_run_id"] == run["id"]
    assert code == again == ExitCode.in_flight
    assert len(_runs(api)) == before + 1


def test_dry_run_starts_nothing(studio: Studio, api: Api) -> None:
    """A dry run shows what would be bought."""
    studio.write("dry")
    before = len(_runs(api))

    code, manifest = studio.make(None, "--dry-run")

    assert code == manifest["exit_code"] == 0
    assert manifest["entries"][0]["reason"] == "Its run would buy 8 s of video"
    assert len(_runs(api)) == before
    assert not studio.archive.exists()


def test_budget_is_for_all(studio: Studio, api: Api) -> None:
    """If all runs together would buy too much, none is started."""
    for name in ("a", "b"):
        studio.write(name)
    before = len(_runs(api))

    code = main(["catalog", str(studio.folder), "--archive", str(studio.archive), "--max-seconds", "15"])

    assert code == ExitCode.setup
    assert "would buy 16 s of video, more than its limit of 15 s" in studio.capsys.readouterr().err
    assert len(_runs(api)) == before


def test_dry_run_shows_the_refusal(studio: Studio) -> None:
    """A dry run over the budget still shows each storyboard, with the refusal."""
    studio.write("a")

    code, manifest = studio.make(None, "--dry-run", "--max-seconds", "7")
    main(["catalog", str(studio.folder), "--archive", str(studio.archive), "--dry-run", "--max-seconds", "7"])

    assert code == manifest["exit_code"] == ExitCode.setup
    assert "more than its limit of 7 s" in manifest["refusal"]
    assert _statuses(manifest) == {"a": "not run"}
    assert "more than its limit of 7 s" in " ".join(studio.capsys.readouterr().out.split())


def test_signatures_are_not_shown(studio: Studio, api: Api) -> None:
    """The signature of a storyboard's URL is in no name of a run, no manifest and no page."""
    _, manifest = studio.make("http://192.0.2.1/signed-season.yaml?signature=SECRET/x")

    stored = studio.archive / "catalogs" / "signed-season"
    names = [each["name"] for each in api.filter("/flow_runs")]
    assert "produce http://192.0.2.1/signed-season.yaml" in names
    assert "SECRET" not in f"{names} {manifest} {api.filter('/artifacts/latest')}"
    assert "SECRET" not in (stored / "manifest.json").read_text() + (stored / "index.html").read_text()


def test_same_names_are_refused(studio: Studio) -> None:
    """Of two storyboards whose productions have one name, the second is not run."""
    studio.write("a", title="Harbour")
    studio.write("b", title="harbour!")

    _, manifest = studio.make(None, "--dry-run")

    assert [each["status"] for each in manifest["entries"]] == ["not run", "invalid"]
    assert "has the name harbour" in manifest["entries"][1]["reason"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--deployment", "no/such"), "no deployment 'no/such'"),
        (("--param", "colour=red"), "no parameter 'colour'"),
        (("--param", "credentials=missing", "--dry-run"), "no Seedance Credentials block named 'missing'"),
        (("--param", "archive=other"), "leave out the parameter archive"),
        (("--param", "max_seconds=many"), "max_seconds"),
        (("--param", "film"), "not of the form NAME=VALUE"),
    ],
)
def test_wrong_options_are_explained(studio: Studio, options: tuple[str, ...], message: str) -> None:
    """A wrong option is reported before anything is started."""
    studio.write("a")

    code = main(["catalog", str(studio.folder), "--archive", str(studio.archive), *options])

    assert code == ExitCode.setup
    assert message in studio.capsys.readouterr().err


def test_server_is_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a configured server, the message says what to do instead."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "")

    assert main(["catalog", str(tmp_path), "--archive", str(tmp_path)]) == ExitCode.setup
    assert "prefect-seedance produce" in capsys.readouterr().err


def _end(api: Api, run: dict[str, Any], state: str) -> None:
    body = {"state": {"type": state, "message": state.lower()}, "force": True}
    api.post(f"/flow_runs/{run['id']}/set_state", body).raise_for_status()


async def _started(api: Api, title: str, count: int) -> dict[str, Any]:
    """Wait for so many runs, and return the last one."""

    def found() -> list[dict[str, Any]]:
        runs = [each for each in _runs(api) if each["name"] == f"produce {title}"]
        return sorted(runs, key=lambda run: str(run["created"])) if len(runs) == count else []

    return (await asyncio.to_thread(eventually, found))[-1]


async def _run(
    studio: Studio,
    title: str,
    *,
    catalog: str = "",
    started: Callable[[FlowRun], None] = lambda _: None,
) -> Ended:
    async with ChildRuns.open(STORYBOARD_DEPLOYMENT, catalog=catalog or uuid4().hex) as runs:
        parameters = {"archive": str(studio.archive)}
        return await runs.run(f"{title}.yaml", parameters, title=title, started=started)


async def _awaits_retry(api: Api, run: dict[str, Any]) -> dict[str, Any]:
    def scheduled() -> bool:
        return bool(api.get(f"/flow_runs/{run['id']}")["state_name"] == "AwaitingRetry")

    assert await asyncio.to_thread(eventually, scheduled)
    return run


@pytest.fixture
def _no_automations(studio: Studio, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delete the automation that starts crashed runs again: runs of catalogues do not depend on it."""
    assert studio
    monkeypatch.setattr(child_runs, "_AUTOMATION_SECONDS", 0.0)
    for each in api.filter("/automations"):
        api.delete(f"/automations/{each['id']}")


@pytest.mark.usefixtures("_no_automations")
async def test_crashed_run_is_started_again(studio: Studio, api: Api) -> None:
    """A run whose process was killed is started again, and continues its production."""
    waiting = asyncio.create_task(_run(studio, "crashing"))
    run = await _started(api, "crashing", 1)
    _end(api, run, "CRASHED")
    _end(api, await _awaits_retry(api, run), "COMPLETED")
    ended = await waiting

    assert (str(ended.flow_run_id), ended.state) == (run["id"], "Completed")
    await _started(api, "crashing", 1)


@pytest.mark.usefixtures("_no_automations")
async def test_crashes_are_bounded(studio: Studio, api: Api) -> None:
    """A run that always crashes is started three times."""
    waiting = asyncio.create_task(_run(studio, "doomed"))
    run = await _started(api, "doomed", 1)
    _end(api, run, "CRASHED")
    for _ in range(2):
        _end(api, await _awaits_retry(api, run), "CRASHED")
    ended = await waiting

    assert (ended.state, ended.message) == ("Crashed", "crashed")
    await _started(api, "doomed", 1)


async def test_running_run_is_taken_over(studio: Studio, api: Api) -> None:
    """A run that works when its catalogue is interrupted is taken over by the next run of the catalogue."""
    catalog = uuid4().hex
    first = asyncio.create_task(_run(studio, "working", catalog=catalog))
    run = await _started(api, "working", 1)
    _end(api, run, "RUNNING")
    first.cancel()
    await asyncio.wait({first})

    has_started = asyncio.Event()
    second = asyncio.create_task(
        _run(studio, "working", catalog=catalog, started=lambda _: has_started.set())
    )
    await has_started.wait()
    _end(api, run, "COMPLETED")
    ended = await second

    assert str(ended.flow_run_id) == run["id"]
    await _started(api, "working", 1)


async def test_deleted_run_is_not_waited_for(studio: Studio, api: Api) -> None:
    """A run that was deleted in the UI ends the wait, with the remedy."""
    waiting = asyncio.create_task(_run(studio, "deleted"))
    run = await _started(api, "deleted", 1)
    api.delete(f"/flow_runs/{run['id']}")

    with pytest.raises(SetupError, match="Its run was deleted; run again"):
        await waiting
