"""The deployable flows: names, forms and final states."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from prefect import Flow, State
from prefect.exceptions import ParameterTypeError

from flows.generate_clips import generate_clips
from flows.storyboard_to_transitions import storyboard_to_transitions
from prefect_seedance import ClipList, ClipSpec, Hosting, Shot, Storyboard, Waiting, produce
from prefect_seedance.report.manifest import read_manifest
from prefect_seedance.storage.store import Store
from tests.flows.conftest import Api
from tests.processes import Sandbox


@pytest.fixture(autouse=True)
def _account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the sandbox's account in the environment, as on a worker."""
    for variable, value in sandbox.env.items():
        monkeypatch.setenv(variable, value)


def name_of(state: State[Any], api: Api) -> str:
    """Return the name of the flow run in Prefect."""
    return str(api.get(f"/flow_runs/{state.state_details.flow_run_id}")["name"])


def test_run_loads_no_workers() -> None:
    """A flow run's process loads neither `deploy` nor Prefect's workers, which take a fifth of a second."""
    program = "import sys, prefect.engine, prefect_seedance.flows; print(*sys.modules)"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "prefect_seedance.orchestration.catalog" in run.stdout.split()
    assert not {"prefect_seedance.orchestration.deploy", "prefect.workers"} & set(run.stdout.split())


async def test_deadline_ends_in_flight(board: Path, archive: Path, sandbox: Sandbox, api: Api) -> None:
    """A run that reaches its deadline is Completed, counts the clips in flight, and has the file's name."""
    state = await storyboard_to_transitions(
        str(board),
        archive=str(archive),
        images_url=sandbox.hosted,
        deadline_seconds=5,
        return_state=True,
    )

    assert (state.type.value, state.name) == ("COMPLETED", "InFlight")
    assert state.message == "Test board: 2 in flight; 8 s billed"
    assert name_of(state, api) == "produce board"


async def test_film_options_apply(board: Path, archive: Path, sandbox: Sandbox) -> None:
    """The film options apply; a seam below the required similarity fails the run but keeps the film."""
    options = {"archive": str(archive), "images_url": sandbox.hosted}
    hosting = Hosting(images_url=sandbox.hosted)
    await produce(str(board), archive=str(archive), hosting=hosting, waiting=Waiting(first_poll_seconds=0.1))

    state = await storyboard_to_transitions(
        str(board), **options, join="exact", min_similarity=1, return_state=True
    )
    manifest = await read_manifest(Store.open(str(archive)), "test-board")
    without = await storyboard_to_transitions(str(board), **options, film=False, return_state=True)

    assert state.name == "Failed"
    assert manifest.film
    assert manifest.film.join == "exact"
    assert without.name == "Completed"
    assert (await read_manifest(Store.open(str(archive)), "test-board")).film is None
    assert sandbox.totals()["accepted"] == 2


async def test_inline_images_outside(board: Path, archive: Path, sandbox: Sandbox, api: Api) -> None:
    """An inline storyboard may use local images by absolute path if outside images are allowed."""
    images = [Shot(image=str(board.with_name(f"{name}.png")), prompt="waves") for name in ("dawn", "noon")]
    storyboard = Storyboard(title="Inline sea", shots=tuple(images))

    refused = await storyboard_to_transitions(storyboard, archive=str(archive), return_state=True)
    state = await storyboard_to_transitions(
        storyboard,
        archive=str(archive),
        images_url=sandbox.hosted,
        allow_outside=True,
        wait=False,
        return_state=True,
    )

    assert "shot 1, image: " in str(refused.message)
    assert "allow_outside=true" in str(refused.message)
    assert state.message == "Inline sea: 1 in flight; 4 s billed"
    assert name_of(state, api) == "produce Inline sea"


async def test_folder_with_prompt(board: Path, archive: Path, sandbox: Sandbox, api: Api) -> None:
    """A folder of images with a prompt is a storyboard, and the production can have a name."""
    state = await storyboard_to_transitions(
        str(board.parent),
        archive=str(archive),
        name="Evening",
        prompt="drifting clouds",
        images_url=sandbox.hosted,
        wait=False,
        return_state=True,
    )

    assert state.message == "board: 2 in flight; 8 s billed"
    assert name_of(state, api) == "produce Evening"


async def test_clips_from_prompts(archive: Path, sandbox: Sandbox, api: Api) -> None:
    """A list of clips is a production, too."""
    clips = ClipList(title="Sounds", clips=(ClipSpec(prompt="a bell rings over the sea"),))

    state = await generate_clips(clips, archive=str(archive), wait=False, return_state=True)

    assert state.message == "Sounds: 1 in flight; 4 s billed"
    assert name_of(state, api) == "produce Sounds"
    assert sandbox.books()["generations"][0]["input"]["mode"] == "text-to-video"


async def test_refusal_fails_with_reasons(archive: Path, sandbox: Sandbox) -> None:
    """A refused production fails with counts and the reason for each clip."""
    sandbox.faults({"kind": "submit", "fault": "answer", "status": 403, "message": "against our policy"})
    clips = ClipList(title="Sounds", clips=(ClipSpec(name="bell", prompt="a bell rings"),))

    state = await generate_clips(clips, archive=str(archive), return_state=True)

    assert state.name == "Failed"
    lines = str(state.message).splitlines()
    assert lines[0] == "Sounds: 1 failed; 0 s billed"
    assert lines[1].startswith("bell: ")
    assert "against our policy" in lines[1]


def test_misspelt_field_is_named(archive: Path, sandbox: Sandbox) -> None:
    """The error names the misspelt field of an inline storyboard, and nothing is sent."""
    storyboard = cast("Storyboard", {"shots": [{"image": "https://cdn/a.png", "promt": "waves"}]})

    with pytest.raises(ParameterTypeError, match=r"storyboard\.Storyboard\.shots\.0\.promt"):
        asyncio.run(storyboard_to_transitions(storyboard, archive=str(archive)))

    assert sandbox.totals()["submits_received"] == 0


@pytest.mark.parametrize("flow", [storyboard_to_transitions, generate_clips], ids=lambda flow: flow.name)
def test_form_describes_everything(flow: Flow[..., object]) -> None:
    """Every parameter has a description; the first accepts a path or an object."""
    fields = flow.parameters.properties

    descriptions = {name: field.get("description", "") for name, field in fields.items()}
    first = next(iter(fields.values()))
    assert all(description.endswith(".") for description in descriptions.values()), descriptions
    assert first["anyOf"][0] == {"title": "Path or URL", "type": "string"}
    assert "$ref" in first["anyOf"][1]


async def test_messages_name_parameters(
    caplog: pytest.LogCaptureFixture, board: Path, archive: Path, sandbox: Sandbox
) -> None:
    """Messages and logs of a shipped flow name its parameters; no option of the command appears."""
    sandbox.faults({"kind": "generation", "fault": "fail", "code": "CONTENT_VIOLATION", "clip": "dawn"})
    options = {"archive": str(archive)}
    with caplog.at_level("INFO", logger="prefect"):
        refused = await storyboard_to_transitions(str(board), return_state=True, **options)
        options["images_url"] = sandbox.hosted
        large = await storyboard_to_transitions(str(board), max_seconds=4, return_state=True, **options)
        failed = await storyboard_to_transitions(str(board), return_state=True, **options)

    assert "set images_url to their public URL" in str(refused.message)
    assert "set max_seconds=8" in str(large.message)
    assert "run again with retry_rejected=true" in str(failed.message)
    assert " --" not in f"{caplog.text} {refused.message} {large.message} {failed.message}"
