from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.errors import SetupError
from prefect_seedance.production.catalog import Surveyed, Surveyor
from prefect_seedance.production.session import open_archive
from prefect_seedance.report.manifest import Entry, record
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.catalog import CatalogItem
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.plan import PlannedClip, plan
from tests.records import manifest_of, record_archived, record_in_flight


def write(folder: Path, name: str, *prompts: str) -> CatalogItem:
    """Write a list of clips, and return it as an item of a catalogue."""
    path = folder / f"{name}.yaml"
    content = {"title": name, "clips": [{"prompt": prompt} for prompt in prompts]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return CatalogItem(storyboard=str(path))


async def clips_of(item: CatalogItem) -> tuple[PlannedClip, ...]:
    parsed = await load_storyboard(item.storyboard)
    return plan(parsed.clips, title=parsed.title).clips


async def complete(item: CatalogItem, store: Store) -> None:
    """Archive all clips of a list, and record its manifest, without a film."""
    archived = [(clip, await record_archived(store, clip)) for clip in await clips_of(item)]
    entries = [Entry.of(clip, ClipStatus.made, archived=video) for clip, video in archived]
    name = Path(item.storyboard).stem
    await record(manifest_of(*entries).model_copy(update={"production": name, "title": name}), store)


async def survey(store: Store, *items: CatalogItem, **parameters: object) -> list[Surveyed]:
    def typed(given: Mapping[str, Any]) -> Mapping[str, Any]:
        if "colour" in given:
            raise SetupError("there is no parameter colour")
        return given

    surveyor = Surveyor(
        store=store,
        credentials=Credentials(api_key=SecretStr("key")),
        open_archive=open_archive,
        parameters={"film": False, **parameters},
        typed=typed,
    )
    return list(await surveyor.survey(items))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "archive"))


async def test_complete_production_needs_no_run(store: Store, tmp_path: Path) -> None:
    """A storyboard whose clips are archived, and whose last run left nothing to do, is complete."""
    item = write(tmp_path, "bells", "one", "two")
    await complete(item, store)

    (found,) = await survey(store, item)

    assert found.is_complete
    assert (found.archived, found.buys) == (2, {})


async def test_missing_film_needs_a_run(store: Store, tmp_path: Path) -> None:
    """A storyboard that has all clips but not its film is run, and buys nothing."""
    item = write(tmp_path, "bells", "one")
    await complete(item, store)

    (found,) = await survey(store, item, film=True)

    assert (found.is_complete, found.buys) == (False, {})


async def test_edited_storyboard_needs_a_run(store: Store, tmp_path: Path) -> None:
    """An edited storyboard buys its new clips, and a shortened one needs a new film and manifest."""
    await complete(write(tmp_path, "longer", "one"), store)
    await complete(write(tmp_path, "shorter", "three", "four"), store)
    longer, shorter = write(tmp_path, "longer", "one", "two"), write(tmp_path, "shorter", "four")

    found = await survey(store, longer, shorter)

    assert [each.is_complete for each in found] == [False, False]
    assert [sum(each.buys.values()) for each in found] == [4, 0]


async def test_generations_in_flight_are_not_bought(store: Store, tmp_path: Path) -> None:
    """A clip in flight needs a run, which does not buy it again."""
    item = write(tmp_path, "bells", "one")
    await record_in_flight(store, (await clips_of(item))[0])

    (found,) = await survey(store, item)

    assert (found.is_complete, found.buys) == (False, {})


async def test_mistakes_affect_one_storyboard(store: Store, tmp_path: Path) -> None:
    """A storyboard that is missing, or has wrong parameters, is reported; the others are surveyed."""
    fine = write(tmp_path, "fine", "one")
    missing = CatalogItem(storyboard=str(tmp_path / "missing.yaml"))
    wrong = write(tmp_path, "wrong", "two").model_copy(update={"parameters": {"colour": "red"}})

    found = await survey(store, fine, missing, wrong)

    assert [bool(each.problem) for each in found] == [False, True, True]
    assert found[2].problem == "there is no parameter colour"


async def test_name_belongs_to_the_first(store: Store, tmp_path: Path) -> None:
    """A storyboard whose production would replace another one's is not run, unless it gets a name."""
    first, second = write(tmp_path, "bells", "one"), write(tmp_path, "Bells!", "two")

    found = await survey(store, first, second, second.model_copy(update={"parameters": {"name": "Bells 2"}}))

    assert [bool(each.problem) for each in found] == [False, True, False]
