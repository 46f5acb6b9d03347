"""A production of two clips, whose run is cancelled at every step of its event loop."""

import json
from collections.abc import Iterable
from dataclasses import replace

from prefect_seedance.options import Output
from prefect_seedance.production.prepare import prepare
from prefect_seedance.production.run import run
from prefect_seedance.production.steps import PlainSteps
from prefect_seedance.report.manifest import Manifest
from prefect_seedance.storyboard.schema import ClipList, ClipSpec
from tests.simulation.api import Post
from tests.simulation.clock import Process
from tests.simulation.invariants import Fence, at_every_step, is_known
from tests.simulation.runs import Choices, Simulation

_CLIPS = ClipList(
    title="Sounds",
    clips=(ClipSpec(name="bell", prompt="a bell rings"), ClipSpec(name="sea", prompt="waves break")),
)
_IN_FLIGHT = 2
_MANIFEST = "productions/sounds/manifest.json"


def produce(simulation: Simulation, clips: ClipList = _CLIPS, *, in_flight: int = 1000) -> Process:
    """Start a process that produces clips, within a limit of generations in flight."""
    process = simulation.process(f"production {len(simulation.world.processes)}")

    async def work() -> Manifest:
        settings, open_archive = Choices().settings(process.name), simulation.opener(process)
        account = settings.credentials.model_copy(update={"generations_in_flight": in_flight})
        settings, output = replace(settings, credentials=account), Output(film=False, report=False)
        prepared = await prepare(clips, settings, output=output, open_archive=open_archive)
        async with simulation.session(process, prepared.settings) as session:
            steps = PlainSteps(session=session, settings=prepared.settings)
            return await run(prepared, session=session, steps=steps)

    process.do(work())
    return process


def misstated(simulation: Simulation, manifest: Manifest) -> Iterable[str]:
    """Yield each clip whose status in the manifest is not what the ledger has recorded."""
    objects = simulation.bucket.objects
    for entry in manifest.clips:
        attempt = f"clips/{entry.fingerprint}/attempt-001/"
        if f"clips/{entry.fingerprint}/clip.json" in objects:
            expected = {"made", "reused"}
        elif f"{attempt}outcome.json" in objects:
            is_success = json.loads(objects[f"{attempt}outcome.json"])["result"] == "success"
            expected = {"not archived"} if is_success else {"not submitted"}
        elif f"{attempt}accepted.json" in objects:
            expected = {"in flight"}
        else:
            expected = {"unresolved"} if f"{attempt}intent.json" in objects else {"not submitted"}
        if entry.status not in expected:
            yield f"{entry.name} is {entry.status}, not {' or '.join(expected)}"


def test_cancelled_production_accounts() -> None:
    """However a production is cancelled, its manifest states what the ledger has, and the bill is right."""

    def cancel(step: int) -> bool:
        with Simulation() as simulation:
            fence = Fence(simulation)
            first = produce(simulation)
            first.on_step = lambda: first.cancel() if first.steps == step else None
            simulation.finish(first)
            if first.error is None:
                return False
            assert all(is_known(simulation, sold, first) for sold in simulation.api.books.values())
            billed = 0
            if _MANIFEST in simulation.bucket.objects:
                manifest = Manifest.model_validate_json(simulation.bucket.objects[_MANIFEST])
                assert not (wrong := "; ".join(misstated(simulation, manifest))), wrong
                billed = manifest.billed_seconds
            assert billed == simulation.api.billed_seconds

            second = simulation.finish(produce(simulation))

            manifest = Manifest.model_validate_json(simulation.bucket.objects[_MANIFEST])
            assert second.error is None
            assert {entry.status for entry in manifest.clips} <= {"made", "reused"}
            assert billed + manifest.billed_seconds == simulation.api.billed_seconds == 8
            assert not fence.late
            return True

    print(f"cancelled at {at_every_step(cancel)} steps")  # noqa: T201 -- the size of the proof


def test_killed_production_keeps_slots() -> None:
    """However a run is killed, no later one brings more generations into flight than the account may have."""
    new = (ClipSpec(name="wind", prompt="wind blows"), ClipSpec(name="rain", prompt="rain falls"))
    edited = _CLIPS.model_copy(update={"clips": (*new, *_CLIPS.clips)})

    def kill(step: int) -> bool:
        with Simulation() as simulation:
            crowded: list[float] = []

            def count(_: Post) -> None:
                now = simulation.world.now
                if sum(now < sold.ends for sold in simulation.api.books.values()) >= _IN_FLIGHT:
                    crowded.append(now)

            simulation.api.on_send = count
            first = produce(simulation, in_flight=_IN_FLIGHT)
            first.on_step = lambda: first.kill() if first.steps == step else None
            simulation.finish(first)
            if first.error is None and first.steps < step:
                return False

            second = simulation.finish(produce(simulation, edited, in_flight=_IN_FLIGHT))

            assert second.error is None
            assert not crowded
            return True

    print(f"killed at {at_every_step(kill)} steps")  # noqa: T201 -- the size of the proof
