import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from prefect_seedance.api import models
from prefect_seedance.api.capabilities import Capabilities
from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.models import (
    CAPABILITIES,
    DEFAULT_MODEL,
    capabilities,
    generation_seconds,
    known_models,
    result_lifetime,
    unknown_model,
)
from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.errors import SetupError


@pytest.mark.parametrize("model", CAPABILITIES, ids=str)
def test_durations_have_times(model: str) -> None:
    """For every duration of every model the time of a generation is known."""
    limits = CAPABILITIES[model]

    for duration in limits.durations_seconds:
        shortest, longest = generation_seconds(model, duration)
        assert 0 < shortest < longest


def test_pins_the_contract() -> None:
    """Limits that no other test uses are those of the contract."""
    limits = CAPABILITIES["seedance-1-5-pro"]

    assert limits.result_lifetime.days == 15
    assert limits.max_image_bytes == 10_000_000
    assert limits.image_formats == ("JPEG", "PNG", "WEBP")
    assert limits.generation_seconds == {4: (40, 60), 8: (60, 90), 12: (90, 120)}


@pytest.mark.parametrize(
    ("model", "duration", "seconds"),
    [(DEFAULT_MODEL, 8, (60, 90)), (DEFAULT_MODEL, 15, (40, 120)), ("seedance-9", 4, (40, 60))],
    ids=["known", "other duration", "other model"],
)
def test_unknown_generations_have_times(model: str, duration: int, seconds: tuple[float, float]) -> None:
    """A generation that a newer version submitted is waited for as the others are."""
    assert generation_seconds(model, duration) == seconds
    assert result_lifetime(model).days == 15


def test_default_model_is_known() -> None:
    """The limits of the default model are known."""
    assert DEFAULT_MODEL == "seedance-1-5-pro"
    assert DEFAULT_MODEL in CAPABILITIES


@pytest.mark.parametrize("model", CAPABILITIES.values(), ids=CAPABILITIES)
def test_every_fact_has_a_source(model: Capabilities) -> None:
    """Each model names where its facts are stated, and a successor that is known."""
    assert model.source
    assert model.read_on.year >= 2026
    assert model.successor is None or model.successor in CAPABILITIES


def test_pins_seedance_2() -> None:
    """The limits of Seedance 2.0 are those of its page."""
    new, fast = CAPABILITIES["seedance-2-0"], CAPABILITIES["seedance-2-0-fast"]

    assert new.durations_seconds == tuple(range(4, 16))
    assert (new.resolutions, fast.resolutions) == (("480p", "720p", "1080p"), ("480p", "720p"))
    assert new.settings == {"sound": "sound", "web_search": "web_search"}
    assert new.modes["omni_reference"].references.model_dump() == {"images": 9, "videos": 3, "audios": 3}
    assert [new.mode_for(frames=frames, references=0) for frames in (0, 2)] == [
        "text-to-video",
        "first_and_last_frames",
    ]


def test_environment_adds_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in SEEDANCE_MODELS adds models, also after it has changed."""
    file = tmp_path / "models.yaml"
    monkeypatch.setenv("SEEDANCE_MODELS", str(file))
    file.write_text("later: {like: seedance-2-0, result_days: 1}")

    assert list(known_models()) == [*CAPABILITIES, "later"]
    assert result_lifetime("later").days == 1


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"a: {}", b"x" * 1_000_001])
def test_wrong_file_is_named(content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing, damaged or huge file is a mistake of the set-up, and the message names it."""
    file = tmp_path / "models.yaml"
    monkeypatch.setenv("SEEDANCE_MODELS", str(file))
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(SetupError, match=r"models\.yaml"):
        known_models()


def test_credentials_add_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials can name the file, and a wrong one is a mistake in them."""
    monkeypatch.setattr(models, "_files", [])
    file = tmp_path / "models.yaml"
    file.write_text("mine: {like: seedance-2-0-fast}")

    Credentials(api_key=SecretStr("k"), models=str(file))

    assert capabilities("mine") == CAPABILITIES["seedance-2-0-fast"]
    with pytest.raises(ValidationError, match="cannot be used"):
        Credentials(api_key=SecretStr("k"), models=str(tmp_path / "none.yaml"))


def test_half_saved_file_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that becomes invalid while it is used leaves the models that it had, until it is valid."""
    file = tmp_path / "models.yaml"
    monkeypatch.setenv("SEEDANCE_MODELS", str(file))
    file.write_text("later: {like: seedance-2-0}")
    assert "later" in known_models()

    file.write_text("later: {like: see")
    during = known_models()
    file.write_text("latest: {like: seedance-2-0}")
    os.utime(file, (1, 1))  # another version, however coarse the clock of the disk is

    assert "later" in during
    assert list(known_models()) == [*CAPABILITIES, "latest"]


def _fill(file: Path) -> None:
    file.write_bytes(b"#" * 1_000_001)


def _replace_with_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(Path.unlink, "No such file or directory", id="deleted"),
        pytest.param(lambda file: file.write_bytes(b"\xff"), "'utf-8' codec", id="binary"),
        pytest.param(lambda file: file.write_text("a: {}"), "a.source: ", id="invalid"),
        pytest.param(_fill, "it is not a file of at most 1,000,000 bytes", id="huge"),
        pytest.param(_replace_with_folder, "it is not a file of at most 1,000,000 bytes", id="folder"),
    ],
)
def test_spoilt_file_is_logged(
    spoil: Callable[[Path], object],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A file that cannot be used any more leaves its models, and each reason is logged once."""
    file = tmp_path / "models.yaml"
    monkeypatch.setenv("SEEDANCE_MODELS", str(file))
    file.write_text("later: {like: seedance-2-0}")
    assert "later" in known_models()

    spoil(file)
    found = [known_models(), known_models()]

    assert all("later" in each for each in found)
    (message,) = caplog.messages
    assert message.startswith(f"{file} cannot be used: {reason}")
    assert message.endswith("; its last valid version is used")


def test_each_reason_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another reason is logged too, and the same one again after the file was valid."""
    file, valid = tmp_path / "models.yaml", "later: {like: seedance-2-0}"
    monkeypatch.setenv("SEEDANCE_MODELS", str(file))

    for time, content in enumerate([valid, "a: {}", "b: {}", "a: {}", valid, "a: {}"]):
        file.write_text(content)
        os.utime(file, (time, time))  # another version, however coarse the clock of the disk is
        known_models()

    assert [message.partition(" cannot be used: ")[2][0] for message in caplog.messages] == ["a", "b", "a"]


@pytest.mark.parametrize("name", ["seedance-2.0", "Seedance-2-0", "seedance2-0"])
def test_typo_is_recognised(name: str) -> None:
    """An unknown model that resembles a known one is likely a typo."""
    assert unknown_model(name).startswith(f"unknown model {name!r}; did you mean 'seedance-2-0'? Known: ")


def test_wrong_file_stops_no_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow whose form cannot show the user's models can still be imported; a run names the mistake."""
    monkeypatch.setenv("SEEDANCE_MODELS", str(tmp_path / "none.yaml"))

    schema = ClipSettings.model_json_schema()

    assert schema["properties"]["resolution"]["enum"] == ["480p", "720p", "1080p"]
