import json
import re

import pytest

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import ClipInput, ClipSettings
from prefect_seedance.errors import SetupError
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.plan import PlannedClip, fingerprint, key_name, plan
from prefect_seedance.storyboard.schema import ClipRequest

_FILE = SourceImage(
    source="/boards/dawn.png", sha256="ab" * 32, format="PNG", width=8, height=8, size_bytes=99
)
_URL = SourceImage(source="https://example.com/noon.png")
_FITTED = _FILE.fitted("crop", aspect_ratio="16:9")
_PADDED = _FILE.fitted("pad", aspect_ratio="9:16")
_ROTATED = _FILE.model_copy(update={"is_rotated": True})


def make_request(**changes: object) -> ClipRequest:
    fields = {
        "name": "dawn → noon",
        "prompt": "waves",
        "images": (_FILE, _URL),
        "settings": ClipSettings(duration=8, sound=True),
    }
    return ClipRequest.model_validate({**fields, **changes})


@pytest.mark.parametrize(
    ("request_", "golden"),
    [
        pytest.param(make_request(), "d94f8c3411f03d1681005fc1d1dc80bc", id="two images"),
        pytest.param(
            make_request(images=(), settings=ClipSettings(), prompt="été — 東京", take=2),
            "73ddfd88058a7f09123baafd64f123b9",
            id="text only, take 2",
        ),
        pytest.param(make_request(images=(_FITTED, _URL)), "233f19d60674b51692637a7dae88f9d6", id="cropped"),
        pytest.param(make_request(images=(_FILE, _PADDED)), "ab70a6828f2f2a0e3ce7444a6d4b5728", id="padded"),
        pytest.param(make_request(images=(_ROTATED,)), "5570fdb40ebf076a4a21b9d4b51d1fbb", id="rotated"),
    ],
)
def test_fingerprints_never_change(request_: ClipRequest, golden: str) -> None:
    """A changed fingerprint buys every clip again: fix the code, not these values."""
    assert fingerprint(request_, model=DEFAULT_MODEL) == golden


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"prompt": "wavez"}, id="prompt"),
        pytest.param({"take": 2}, id="take"),
        pytest.param({"images": (_URL, _FILE)}, id="order of images"),
        pytest.param({"images": (_FILE,)}, id="fewer images"),
        pytest.param({"images": (_FILE.model_copy(update={"sha256": "cd" * 32}), _URL)}, id="content"),
        pytest.param({"images": (_FITTED, _URL)}, id="fit"),
        pytest.param({"settings": ClipSettings(duration=4, sound=True)}, id="duration"),
        pytest.param({"settings": ClipSettings(duration=8, sound=True, resolution="480p")}, id="resolution"),
        pytest.param({"settings": ClipSettings(duration=8, sound=True, aspect_ratio="9:16")}, id="ratio"),
        pytest.param({"settings": ClipSettings(duration=8)}, id="sound"),
        pytest.param({"settings": ClipSettings(duration=8, sound=True, fixed_lens=True)}, id="lens"),
    ],
)
def test_fingerprint_covers_what_decides_the_clip(changes: dict[str, object]) -> None:
    """Everything that can change the video or its sound changes the fingerprint."""
    assert fingerprint(make_request(**changes), model=DEFAULT_MODEL) != fingerprint(
        make_request(), model=DEFAULT_MODEL
    )


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"name": "noon"}, id="name"),
        pytest.param({"take": 1}, id="default take"),
        pytest.param({"images": (_FILE.model_copy(update={"source": "/x/y.png"}), _URL)}, id="renamed file"),
        pytest.param(
            {"images": (_FILE.fitted("crop", aspect_ratio="1:1"), _URL)}, id="fit of a fitting image"
        ),
        pytest.param({"images": (_ROTATED, _URL)}, id="rotation"),
    ],
)
def test_fingerprint_ignores_the_rest(changes: dict[str, object]) -> None:
    """Changes that do not affect the clip do not buy it again."""
    assert fingerprint(make_request(**changes), model=DEFAULT_MODEL) == fingerprint(
        make_request(), model=DEFAULT_MODEL
    )


def test_fingerprint_depends_on_the_model() -> None:
    """The same request for another model is another clip."""
    assert fingerprint(make_request(), model="another") != fingerprint(make_request(), model=DEFAULT_MODEL)


def test_later_optional_fields_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later optional field with the default None changes no fingerprint."""

    class LaterInput(ClipInput):
        seed: int | None = None

    before = fingerprint(make_request(), model=DEFAULT_MODEL)
    monkeypatch.setattr("prefect_seedance.storyboard.schema.ClipInput", LaterInput)

    assert make_request().input(["a", "b"]).model_dump()["seed"] is None
    assert fingerprint(make_request(), model=DEFAULT_MODEL) == before


def test_plan_numbers_the_clips() -> None:
    """Clips keep their order and get numbers from 1 and fingerprints."""
    requests = [make_request(), make_request(name="again", take=2)]

    planned = plan(requests, title="Lighthouse: the Film")

    assert (planned.name, planned.title, planned.model) == (
        "lighthouse-the-film",
        "Lighthouse: the Film",
        DEFAULT_MODEL,
    )
    assert [(clip.number, clip.name, clip.take) for clip in planned.clips] == [
        (1, "dawn → noon", 1),
        (2, "again", 2),
    ]
    assert [clip.fingerprint for clip in planned.clips] == [
        fingerprint(request, model=DEFAULT_MODEL) for request in requests
    ]


def test_name_overrides_the_title() -> None:
    """Two productions with the same title can have different names."""
    assert plan([make_request()], title="Lighthouse", name="Lighthouse 2").name == "lighthouse-2"


def test_equal_clips_are_billed_once() -> None:
    """A clip that occurs twice in a film is billed once, under its first number."""
    planned = plan([make_request(), make_request(take=2), make_request(name="dawn → noon (2)")], title="x")

    assert planned.billed_seconds == 16
    assert [clip.number for clip in planned.distinct] == [1, 2]


def test_planned_clip_survives_json() -> None:
    """A planned clip can be a task's parameter."""
    clip = plan([make_request()], title="x").clips[0]

    back = PlannedClip.model_validate(json.loads(clip.model_dump_json()))

    assert back == clip
    assert back.input(["https://h.example/a", "https://h.example/b"]) == ClipInput(
        mode="image-to-video",
        prompt="waves",
        image_urls=("https://h.example/a", "https://h.example/b"),
        duration=8,
        sound=True,
    )


@pytest.mark.parametrize(
    ("title", "name"),
    [
        pytest.param("Lighthouse", "lighthouse", id="one word"),
        pytest.param("Été à Nice!", "ete-a-nice", id="accents"),
        pytest.param("Straße", "strasse", id="sharp s"),
        pytest.param("../../etc/passwd", "etc-passwd", id="path"),
        pytest.param("a_b.c  d", "a-b-c-d", id="punctuation"),
        pytest.param("lighthouse-2", "lighthouse-2", id="already a name"),
        pytest.param("x" * 80, "x" * 80, id="just short enough"),
    ],
)
def test_key_name_is_readable(title: str, name: str) -> None:
    """A Latin title stays readable in keys."""
    assert key_name(title) == name


@pytest.mark.parametrize(
    "title", ["灯台", "Маяк", "🔥", "", "---", "x" * 81, "東京 2", "ß" * 60, "-" * 200 + "灯"]
)
def test_key_name_is_always_safe(title: str) -> None:
    """Any title gives a name that object stores and Prefect accept, and that maps to itself."""
    name = key_name(title)

    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert len(name) <= 80
    assert key_name(name) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("灯台", "東京", id="no Latin letter"),
        pytest.param("東京 2", "大阪 2", id="one Latin character"),
        pytest.param("x" * 100 + "1", "x" * 100 + "2", id="differing at the end"),
    ],
)
def test_key_name_keeps_titles_apart(one: str, other: str) -> None:
    """Productions whose titles differ only in dropped letters do not overwrite each other."""
    assert key_name(one) != key_name(other)


@pytest.mark.parametrize("name", ["x\udcff", "\u4e2d\udcff", "é" * 90 + "\udcff"], ids=ascii)
def test_refuses_names_without_encoding(name: str) -> None:
    """A production's name that is not UTF-8 is refused with its remedy, before anything is recorded."""
    for given in ({"title": name}, {"title": "", "name": name}, {"title": "Sounds", "name": name}):
        with pytest.raises(SetupError, match=r"is not valid UTF-8; give another name"):
            plan([], **given)
