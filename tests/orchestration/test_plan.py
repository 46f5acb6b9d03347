"""Planning a storyboard in any form."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from prefect_seedance import ClipList, Credentials, Loading, Storyboard, load_storyboard, plan
from prefect_seedance.errors import SetupError, StoryboardError

_IMAGE = "https://images.example/{}.png"
_FORMS: list[tuple[type[Storyboard | ClipList], dict[str, Any]]] = [
    (
        Storyboard,
        {
            "title": "Sea",
            "shots": [
                {"image": _IMAGE.format("dawn"), "prompt": "waves"},
                {"image": _IMAGE.format("noon")},
            ],
        },
    ),
    (ClipList, {"title": "Sounds", "clips": [{"name": "bell", "prompt": "a bell rings"}]}),
]


@pytest.mark.parametrize(("kind", "form"), _FORMS, ids=["storyboard", "list of clips"])
async def test_forms_are_equal(
    kind: type[Storyboard | ClipList], form: dict[str, Any], tmp_path: Path
) -> None:
    """A model, a dict, a path as text or object, and what was loaded before give the same clips."""
    file = tmp_path / "board.json"
    file.write_text(json.dumps(form), encoding="utf-8")

    sources = (kind.model_validate(form), form, str(file), file, await load_storyboard(form))
    plans = [await plan(source) for source in sources]

    assert [len(planned.clips) for planned in plans] == [1] * 5
    assert all(planned == plans[0] for planned in plans)


async def test_loading_applies(tmp_path: Path) -> None:
    """A folder of images takes its prompt, and a folder without one is refused with the remedy."""
    (tmp_path / "a.png").write_bytes(b"")

    with pytest.raises(StoryboardError, match="in prompt of Loading"):
        await plan(tmp_path)
    with pytest.raises(StoryboardError, match=r"a\.png.*empty"):
        await plan(tmp_path, loading=Loading(prompt="waves"))


@pytest.mark.parametrize("form", [form for _, form in _FORMS], ids=["storyboard", "list of clips"])
async def test_mistakes_are_named(form: dict[str, Any]) -> None:
    """A mistake in a dict is reported as one in a file is: with its place and the remedy."""
    (field,) = form.keys() - {"title"}
    wrong = {**form, field: [{**form[field][0], "promt": "waves"}, *form[field][1:]]}

    with pytest.raises(StoryboardError, match=r"1, promt:.*prompt"):
        await plan(wrong)


async def test_account_decides_model() -> None:
    """The account's model makes the clips that choose none; a storyboard loaded for another is refused."""
    fast = Credentials(api_key=SecretStr("key"), model="seedance-2-0-fast")
    _, form = _FORMS[1]

    planned = await plan(form, credentials=fast, name="Evening")

    assert (planned.models, planned.name) == ("seedance-2-0-fast", "evening")
    with pytest.raises(SetupError, match="seedance-2-0-fast"):
        await plan(await load_storyboard(form), credentials=fast)
