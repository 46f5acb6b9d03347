"""The model of each clip, as its author chooses it."""

from typing import Any

import pytest

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.drafts import EveryClip
from prefect_seedance.storyboard.parser import ParsedStoryboard, parse_storyboard
from prefect_seedance.storyboard.plan import plan
from prefect_seedance.storyboard.schema import ClipRequest

NEW, FAST = "seedance-2-0", "seedance-2-0-fast"
FRAMES = ["https://example.com/1.png", "https://example.com/2.png"]


def parsed(*clips: dict[str, Any], account: str = DEFAULT_MODEL, **defaults: object) -> ParsedStoryboard:
    content = {"title": "t", "defaults": defaults, "clips": [{"prompt": "waves", **clip} for clip in clips]}
    return parse_storyboard(Document.inline(content), model=account)


def test_clip_then_defaults_then_account() -> None:
    """A clip's model takes precedence over the defaults', and that over the account's."""
    both = parsed({}, {"model": FAST}, model=NEW)

    assert [clip.model for clip in both.clips] == [NEW, FAST]
    assert [clip.model for clip in parsed({}, {"model": None}).clips] == [DEFAULT_MODEL] * 2


def test_shots_choose_models() -> None:
    """A shot's model applies to the clip that begins at it, in the mode that the model has for frames."""
    shots = [{"image": url, "prompt": "waves"} for url in FRAMES]
    content = {"loop": True, "shots": [shots[0], {**shots[1], "model": NEW}]}

    clips = parse_storyboard(Document.inline(content)).clips

    assert [(clip.model, clip.mode) for clip in clips] == [
        (DEFAULT_MODEL, "image-to-video"),
        (NEW, "first_and_last_frames"),
    ]


def test_plan_names_all_models() -> None:
    """A plan names each model of its clips once; one without clips of its own names the account's."""
    clips = parsed({}, {"model": FAST}, {"prompt": "more"}).clips

    assert plan(clips, title="t").models == f"{DEFAULT_MODEL}, {FAST}"
    assert plan(clips[1:2], title="t").models == FAST


def test_replacement_overrides_choices() -> None:
    """Another model can replace all choices, to see what would change."""
    clips = parsed({}, {"model": FAST}, account=EveryClip(NEW)).clips

    assert {clip.model for clip in clips} == {NEW}


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ({"model": "seedance-9"}, "clip 1, model: unknown model 'seedance-9'; known: seedance-1-5-pro"),
        (
            {"model": NEW, "fixed_lens": True},
            "clip 1, fixed_lens: is not a setting of seedance-2-0; ",
        ),
        ({"web_search": True}, "clip 1, web_search: is not a setting of seedance-1-5-pro; remove it"),
        ({"model": NEW, "duration": 16}, "clip 1, duration: 16 is not offered; choose one of 4 to 15"),
        ({"model": FAST, "resolution": "1080p"}, "'1080p' is not offered; choose one of 480p, 720p"),
        ({"aspect_ratio": "auto"}, "clip 1, aspect_ratio: auto needs an image that is a local file"),
        ({"duration": 5}, "clip 1, duration: 5 is not offered; choose one of 4, 8, 12"),
    ],
)
def test_limits_follow_the_model(clip: dict[str, Any], message: str) -> None:
    """Each clip is checked against its own model, where the mistake is written."""
    with pytest.raises(StoryboardError) as caught:
        parsed(clip)

    assert message in str(caught.value)


def test_refused_setting_is_optional() -> None:
    """A setting that is off is no mistake for a model that lacks it, and is not sent to it."""
    (clip,) = parsed({"model": NEW, "fixed_lens": False}).clips

    assert "fixed_lens" not in clip.input([]).model_dump()


def fingerprint_of(clip: ClipRequest) -> str:
    return plan([clip], title="t").clips[0].fingerprint


@pytest.mark.parametrize(
    ("clip", "golden"),
    [
        pytest.param({}, "239b018e59ea5ad207a7397205d5bcef", id="1.5"),
        pytest.param({"model": NEW}, "dce0fede46845e51aca9d4dc90a34802", id="2.0"),
        pytest.param(
            {"model": FAST, "duration": 7, "sound": True, "images": FRAMES},
            "51598097d96b258e5543d8e1a1168dd7",
            id="fast",
        ),
        pytest.param(
            {"model": NEW, "web_search": True, "resolution": "1080p"},
            "c2147c0b7318de3aa586f230892fdca5",
            id="search",
        ),
    ],
)
def test_fingerprints_never_change(clip: dict[str, Any], golden: str) -> None:
    """A changed fingerprint buys every clip again: fix the code, not these values."""
    assert fingerprint_of(parsed(clip).clips[0]) == golden


def test_fingerprint_covers_the_model() -> None:
    """The same clip of another model is another clip, whether the clip or the account chooses it."""
    (old,), (new,) = parsed({}).clips, parsed({"model": NEW}).clips

    assert fingerprint_of(old) != fingerprint_of(new)
    unchosen = new.model_copy(update={"model": ""})
    assert plan([unchosen], title="t", model=NEW).clips[0].fingerprint == fingerprint_of(new)


def test_absent_setting_changes_nothing() -> None:
    """A setting that the model lacks does not count, however it is written."""
    prints = {
        fingerprint_of(parsed({"model": NEW, **more}).clips[0])
        for more in ({}, {"fixed_lens": False}, {"web_search": False})
    }

    assert len(prints) == 1
