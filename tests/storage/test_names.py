from pathlib import Path

import pytest

from prefect_seedance.storage.names import composed, path_suggestion, same_letters, suggestion

_ONE, _TWO = "caf\u00e9.png", "cafe\u0301.png"


@pytest.mark.parametrize(("stored", "written"), [(_TWO, _ONE), (_ONE, _TWO)], ids=["from a Mac", "to a Mac"])
def test_accents_are_one_character_or_two(tmp_path: Path, stored: str, written: str) -> None:
    """A file is found however its accents are encoded, also those of its folders."""
    folder = tmp_path / stored.removesuffix(".png")
    folder.mkdir()
    (folder / stored).touch()

    assert composed(tmp_path / written.removesuffix(".png") / written) == folder / stored


def test_existing_name_is_kept(tmp_path: Path) -> None:
    """A name that exists as it is written means that file, and an ambiguous one means none."""
    for name in (_ONE, _TWO):
        (tmp_path / name).touch()

    assert composed(tmp_path / _TWO) == tmp_path / _TWO
    assert same_letters("a\u0323\u0307", ["\u1ea1\u0307", "\u0227\u0323"]) is None
    assert composed(tmp_path / "none.png") == tmp_path / "none.png"


@pytest.mark.parametrize(
    ("written", "stored", "end"),
    [
        pytest.param("dawn.png", "Dawn.PNG", "'Dawn.PNG'? Upper and lower case differ", id="case"),
        pytest.param("dwan.png", "dawn.png", "'dawn.png'?", id="letters swapped"),
        pytest.param(
            "\uff44awn.png", "dawn.png", r"'dawn.png' is not '\uff44awn.png'", id="full-width letter"
        ),
        pytest.param("a\u00a0b.png", "a b.png", r"'a b.png' is not 'a\xa0b.png'", id="no-break space"),
        pytest.param("a b.png", "a\u202fb.png", r"'a\u202fb.png' is not 'a b.png'", id="space of macOS"),
        pytest.param("dawn.png", "da\u200bwn.png", r"'da\u200bwn.png' is not 'dawn.png'", id="invisible"),
        pytest.param("CAF\u00c9.png", _TWO, r"'cafe\u0301.png' is not 'CAF\xc9.png'", id="accent and case"),
    ],
)
def test_difference_is_visible(written: str, stored: str, end: str) -> None:
    """A suggestion shows a difference that readers would not see."""
    shown = suggestion(written, ["noon.png", stored])

    assert shown.startswith("; did you mean ")
    assert shown.endswith(end)


def test_backslash_is_explained(tmp_path: Path) -> None:
    """A path as Windows writes it is one name elsewhere."""
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "noon.png").touch()

    found = path_suggestion(tmp_path / r"pics\noon.png")
    absent = path_suggestion(tmp_path / r"pics\dusk.png")

    assert found == "; did you mean 'pics/noon.png'? Separate folders with slashes, not backslashes"
    assert absent == "; separate folders with slashes, not backslashes"


def test_folder_is_suggested(tmp_path: Path) -> None:
    """If a folder is missing, its name is the mistake."""
    (tmp_path / "images").mkdir()

    assert path_suggestion(tmp_path / "Images" / "a.png").startswith("; did you mean 'images'?")
