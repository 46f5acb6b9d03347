"""The deployable flows, called directly: their names, their forms and how they end."""

import asyncio
from pathlib import Path

import pytest
from prefect import Flow, State
from prefect.exceptions import ParameterTypeError

from flows.generate_clips import generate_clips
from flows.storyboard_to_transitions import storyboard_to_transitions
from prefect_seedance import ClipList, ClipSpec, Manifest, Polling, Shot, Storyboard, produce
from prefect_seedance.report.manifest import recorded
from prefect_seedance.storage.store import Store
from tests.flows.conftest import Api
from tests.processes import Sandbox


@pytest.fixture(autouse=True)
def _account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the flows the sandbox's account, as a worker's environment does."""
    for variable, value in sandbox.env.items():
        monkeypatch.setenv(variable, value)


def name_of(state: State[Manifest], api: Api) -> str:
    """Return what the flow run is called in Prefect."""
    return str(api.get(f"/flow_runs/{state.state_details.flow_run_id}")["name"])


async def test_deadline_ends_in_flight(board: Path, archive: Path, sandbox: Sandbox, api: Api) -> None:
    """A run that the deadline ends is Completed, says what is in flight, and bears the file's name."""
    state = await storyboard_to_transitions(
        str(board),
        archive=str(archive),
        images_url=sandbox.hosted,
        deadline_seconds=1,
        return_state=True,
    )

    assert (state.type.value, state.name) == ("COMPLETED", "InFlight")
    assert state.message == "Test board: 2 in flight; 8 s billed"
    assert name_of(state, api) == "produce board"


async def test_film_as_asked(board: Path, archive: Path, sandbox: Sandbox) -> None:
    """A form's options reach the film; a demand on its seams fails the run, and the film is there."""
    options = {"archive": str(archive), "images_url": sandbox.hosted}
    await produce(str(board), pace=Polling(first_seconds=0.1), **options)

    state = await storyboard_to_transitions(
        str(board), **options, film="exact", min_seam=1, return_state=True
    )
    manifest = await recorded(Store.open(str(archive)), "test-board")
    without = await storyboard_to_transitions(str(board), **options, film="none", return_state=True)

    assert state.name == "Failed"
    assert manifest.film
    assert manifest.film.join == "exact"
    assert without.name == "Completed"
    assert (await recorded(Store.open(str(archive)), "test-board")).film is None
    assert sandbox.totals()["accepted"] == 2


async def test_inline_images_outside(board: Path, archive: Path, sandbox: Sandbox, api: Api) -> None:
    """A storyboard that is an object may name local images by absolute path, if that is allowed."""
    images = [Shot(image=str(board.with_name(f"{name}.png")), prompt="waves") for name in ("dawn", "noon")]
    storyboard = Storyboard(title="Inline sea", shots=tuple(images))

    refused = await storyboard_to_transitions(storyboard, archive=str(archive), return_state=True)
    state = await storyboard_to_transitions(
        storyboard,
        archive=str(archive),
        images_url=sandbox.hosted,
        allow_outside=True,
        deadline_seconds=1,
        return_state=True,
    )

    assert "shots[0].image: " in str(refused.message)
    assert "allow images outside" in str(refused.message)
    assert state.message == "Inline sea: 1 in flight; 4 s billed"
    assert name_of(state, api) == "produce Inline sea"


async def test_folder_takes_prompt(board: Path, archive: Path, sandbox: Sandbox, api: Api) -> None:
    """A folder of images with a prompt is a storyboard, and a run's name may be given."""
    state = await storyboard_to_transitions(
        str(board.parent),
        archive=str(archive),
        name="Evening",
        prompt="drifting clouds",
        images_url=sandbox.hosted,
        deadline_seconds=1,
        return_state=True,
    )

    assert state.message == "board: 2 in flight; 8 s billed"
    assert name_of(state, api) == "produce Evening"


async def test_clips_from_words(archive: Path, sandbox: Sandbox, api: Api) -> None:
    """A list of clips is a production as well."""
    clips = ClipList(title="Sounds", clips=(ClipSpec(prompt="a bell rings over the sea"),))

    state = await generate_clips(clips, archive=str(archive), deadline_seconds=1, return_state=True)

    assert state.message == "Sounds: 1 in flight; 4 s billed"
    assert name_of(state, api) == "produce Sounds"
    assert sandbox.books()["generations"][0]["input"]["mode"] == "text-to-video"


async def test_refusal_fails_with_reasons(archive: Path, sandbox: Sandbox) -> None:
    """A refused production fails, with counts and the reason for each clip."""
    sandbox.faults({"kind": "submit", "fault": "answer", "status": 403, "message": "against our policy"})
    clips = ClipList(title="Sounds", clips=(ClipSpec(name="bell", prompt="a bell rings"),))

    state = await generate_clips(clips, archive=str(archive), return_state=True)

    assert state.name == "Failed"
    lines = str(state.message).splitlines()
    assert lines[0] == "Sounds: 1 failed; 0 s billed"
    assert lines[1].startswith("bell: ")
    assert "against our policy" in lines[1]


def test_misspelt_field_is_named(archive: Path, sandbox: Sandbox) -> None:
    """A misspelt field of an inline storyboard is named, and nothing is sent."""
    storyboard = {"shots": [{"image": "https://cdn/a.png", "promt": "waves"}]}

    with pytest.raises(ParameterTypeError, match=r"storyboard\.Storyboard\.shots\.0\.promt"):
        asyncio.run(storyboard_to_transitions(storyboard, archive=str(archive)))

    assert sandbox.totals()["submits_received"] == 0


@pytest.mark.parametrize("flow", [storyboard_to_transitions, generate_clips], ids=lambda flow: flow.name)
def test_form_describes_everything(flow: Flow[..., object]) -> None:
    """Every parameter is described, and the first offers a field for a path and a form for the object."""
    fields = flow.parameters.properties

    said = {name: field.get("description", "") for name, field in fields.items()}
    first = next(iter(fields.values()))
    assert all(description.endswith(".") for description in said.values()), said
    assert first["anyOf"][0] == {"title": "Path or URL", "type": "string"}
    assert "$ref" in first["anyOf"][1]
