"""From one model to another: plans, runs, films, and the end of a model and of the money."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests import films
from tests.processes import Command, Sandbox

PRO, NEW, FAST = "seedance-1-5-pro", "seedance-2-0", "seedance-2-0-fast"
_QUICK = ("--first-poll", "0.2", "--poll-every", "0.2", "--no-report", "--json")


@pytest.fixture
def call(run_cli: Command, sandbox: Sandbox) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a command with --json, and returns the object that it prints."""

    def run(*words: object, code: int = 0, env: dict[str, str] | None = None) -> dict[str, Any]:
        done = run_cli(*words, env={**sandbox.env, **(env or {})})
        assert done.returncode == code, done.stderr
        return dict(json.loads(done.stdout))

    return run


Call = Callable[..., dict[str, Any]]


def clip_list(folder: Path, *clips: Mapping[str, object], **defaults: object) -> Path:
    """Write a list of clips."""
    file = folder / "clips.json"
    settings = {"resolution": "480p", "aspect_ratio": "16:9", **defaults}
    file.write_text(json.dumps({"title": "Clips", "defaults": settings, "clips": clips}))
    return file


def test_models_share_a_film(call: Call, sandbox: Sandbox, tmp_path: Path) -> None:
    """Clips of three models become one film, re-encoded where they differ, and are reused afterwards."""
    clips = clip_list(
        tmp_path,
        {"prompt": "waves at dawn", "fixed_lens": True},
        {"prompt": "waves at noon", "model": NEW, "duration": 5, "resolution": "720p", "sound": True},
        {"prompt": "waves at night", "model": FAST, "web_search": True},
    )
    command = ("produce", clips, "--archive", tmp_path / "archive", "--film", *_QUICK)

    first = call(*command)
    second = call(*command)

    books = sandbox.books()["generations"]
    film = first["film"]
    assert (film["join"], len(film["parts"])) == ("exact", 3)
    assert "864×496" in film["reason"]
    assert {entry["status"] for entry in second["clips"]} == {"reused"}
    assert {each["model"] for each in books} == {PRO, NEW, FAST}
    assert len(books) == 3


def test_references_are_hosted(call: Call, sandbox: Sandbox, archive: Path, tmp_path: Path) -> None:
    """Local references are hosted as frames are, and the API gets them in the documented mode."""
    Image.new("RGB", (320, 180), "orange").save(tmp_path / "look.png")
    clips = clip_list(
        tmp_path,
        {"prompt": "waves in the style of @Image1"},
        {"prompt": "a film like @Video1", "references": {"videos": [f"{sandbox.hosted}look.mp4"]}},
        model=NEW,
        references={"images": ["look.png"]},
    )
    (archive / "images").mkdir(exist_ok=True)
    (archive / "images" / "look.mp4").write_bytes(films.clip(1, frames=60))
    command = ("produce", clips, "--archive", archive, "--images-url", sandbox.hosted, *_QUICK)

    made = call(*command)

    books = sandbox.books()["generations"]
    assert [clip["status"] for clip in made["clips"]] == ["made", "made"]
    assert {each["input"]["mode"] for each in books} == {"omni_reference"}
    assert sorted(len(each["input"]["image_urls"]) for each in books) == [0, 1]


def test_plan_agrees_with_the_books(call: Call, sandbox: Sandbox, tmp_path: Path) -> None:
    """A plan with another model predicts what a run bills after the storyboard has changed."""
    archive = tmp_path / "archive"
    given = ({"prompt": "waves at dawn"}, {"prompt": "waves at noon", "duration": 8, "model": FAST})
    clips = clip_list(tmp_path, *given)
    call("produce", clips, "--archive", archive, *_QUICK)
    before = sandbox.totals()["paid_seconds"]

    plan = call("plan", clips, "--archive", archive, "--model", FAST, "--json")
    clips = clip_list(tmp_path, *given, model=FAST)
    call("produce", clips, "--archive", archive, *_QUICK)

    assert sandbox.totals()["paid_seconds"] - before == plan["billed_seconds"] == 4
    assert plan["instead_of"] == {"billed_seconds": 0, "cost": None, "bought_again": ["waves at dawn"]}
    assert plan["balance"] == "1000.0"
    assert [clip["model"] for clip in plan["clips"]] == [FAST, FAST]


def test_plan_names_refused_settings(run_cli: Command, tmp_path: Path) -> None:
    """A plan with another model names each line that the model would refuse, and ends with 2."""
    clips = clip_list(tmp_path, {"prompt": "waves", "duration": 5}, fixed_lens=True, model=NEW)

    done = run_cli("plan", clips, "--model", NEW)

    assert done.returncode == 2
    assert "defaults, fixed_lens: is not a setting of seedance-2-0" in done.stderr


@pytest.mark.parametrize(
    "answer", [{"status": 404}, {"status": 410}, {"status": 400, "message": "MODEL_UNAVAILABLE"}]
)
def test_retired_model_buys_nothing(
    call: Call, sandbox: Sandbox, tmp_path: Path, answer: dict[str, object]
) -> None:
    """Of a hundred clips of a retired model, at most sixteen are asked for; other models' clips are made."""
    sandbox.faults({"kind": "submit", "model": PRO, "fault": "answer", **answer})
    clips = clip_list(tmp_path, *({"prompt": f"waves {number}"} for number in range(100)))

    made = call("produce", clips, "--archive", tmp_path / "archive", *_QUICK, code=2)

    assert sandbox.totals()["submits_received"] <= 16
    assert sandbox.totals()["paid_seconds"] == 0
    assert all("plan STORYBOARD --model seedance-2-0" in clip["reason"] for clip in made["clips"])


def test_announced_end_is_reported(run_cli: Command, sandbox: Sandbox, tmp_path: Path) -> None:
    """An end that headers announce is a warning of the run, and is in manifest and report."""
    sandbox.faults(
        {"kind": "submit", "fault": "announce-end", "sunset": "Sat, 01 Aug 2026 23:59:59 GMT"},
    )
    clips = clip_list(tmp_path, {"prompt": "waves"}, {"prompt": "more waves", "model": NEW})
    quick = [word for word in _QUICK if word != "--no-report"]

    made = run_cli("produce", clips, "--archive", tmp_path / "archive", *quick, env=sandbox.env)

    manifest = json.loads(made.stdout)
    page = (tmp_path / "archive" / manifest["report"]).read_text()
    assert [(each["model"], each["sunset"]) for each in manifest["announcements"]] == [
        (PRO, "2026-08-01"),
        (NEW, "2026-08-01"),
    ]
    for model in (PRO, NEW):
        words = f"The API announces the end of {model}, and ends it on 2026-08-01"
        assert words in made.stderr
        assert words in page


def test_words_of_money_stop_the_batch(call: Call, sandbox: Sandbox, tmp_path: Path) -> None:
    """Refusals that say that the balance is too low stop the rest, although their number is 400."""
    sandbox.faults({"kind": "submit", "fault": "answer", "status": 400, "message": "Insufficient credits"})
    clips = clip_list(tmp_path, *({"prompt": f"waves {number}"} for number in range(30)))

    made = call("produce", clips, "--archive", tmp_path / "archive", *_QUICK, code=1)

    assert sandbox.totals()["submits_received"] <= 16
    assert {clip["cause"] for clip in made["clips"]} == {"InsufficientFundsError"}


def test_empty_balance_stops_the_batch(call: Call, sandbox: Sandbox, tmp_path: Path) -> None:
    """A refusal that may mean anything stops the rest if the balance is zero."""
    sandbox.faults(
        {"kind": "submit", "fault": "answer", "status": 403, "message": "Forbidden"},
        {"kind": "balance", "fault": "amount", "dollars": 0.0},
    )
    clips = clip_list(tmp_path, *({"prompt": f"waves {number}"} for number in range(30)))

    made = call("produce", clips, "--archive", tmp_path / "archive", *_QUICK, code=1)

    assert sandbox.totals()["submits_received"] <= 16
    assert {clip["cause"] for clip in made["clips"]} == {"InsufficientFundsError"}


def test_file_adds_a_model(run_cli: Command, start_sandbox: Callable[..., Sandbox], tmp_path: Path) -> None:
    """A model of a user's file is planned with its price, made, and reused; its own names are sent."""
    models = tmp_path / "models.yaml"
    models.write_text(
        "later:\n  like: seedance-2-0\n  durations_seconds: [3, 20]\n"
        "  settings: {sound: generate_audio}\n  prices: [{per_second: 0.5}]\n"
    )
    sandbox = start_sandbox(models=models)
    env = {**sandbox.env, "SEEDANCE_MODELS": str(models)}
    clips = clip_list(tmp_path, {"prompt": "waves", "duration": 3, "sound": True}, model="later")
    command = (clips, "--archive", tmp_path / "archive")
    quick = [word for word in _QUICK if word != "--no-report"]

    plan = json.loads(run_cli("plan", *command, "--json", env=env).stdout)
    first, second = (json.loads(run_cli("produce", *command, *quick, env=env).stdout) for _ in range(2))

    (made,) = sandbox.books()["generations"]
    page = (tmp_path / "archive" / first["report"]).read_text()
    assert "Cost at the prices of the models</dt><dd>1.5</dd>" in page
    assert (plan["cost"], plan["billed_seconds"]) == ("1.5", 3)
    assert (first["clips"][0]["status"], second["clips"][0]["status"]) == ("made", "reused")
    assert made["model"] == "later"
    assert made["input"]["sound"] is True


def test_commands_show_models_and_balance(call: Call) -> None:
    """Programs get the models with all their facts, and the balance."""
    assert set(call("models", "--json")["models"]) == {PRO, NEW, FAST}
    assert call("balance", "--json") == {"balance": "1000.0", "currency": "USD"}
