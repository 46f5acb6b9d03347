import json
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.storage.locations import Location
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.image_inspection import MAX_IMAGE_BYTES
from prefect_seedance.storyboard.parser import parse_storyboard
from prefect_seedance.storyboard.schema import ClipList, Storyboard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A storyboard's folder with three images and several unusable files."""
    images = tmp_path / "board" / "images"
    images.mkdir(parents=True)
    for name in ("dawn.png", "noon.jpg", "dusk.webp", "old.gif"):
        Image.new("RGB", (16, 9), name.encode()[0]).save(images / name)
    with (images / "big.png").open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)
    (images / "cut.png").write_bytes((images / "dawn.png").read_bytes()[:45])
    (images / "notes.txt").write_text("not an image")
    (images / "out.png").symlink_to(tmp_path / "outside.png")
    Image.new("RGB", (16, 9)).save(tmp_path / "outside.png")
    return tmp_path / "board"


def load(folder: Path, text: str, *, name: str = "board.yaml") -> Document:
    file = folder / name
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    return Document.load(file)


def errors(document: Document, *, is_cancelled: Callable[[], bool] = lambda: False) -> list[str]:
    with pytest.raises(StoryboardError) as raised:
        parse_storyboard(document, is_cancelled=is_cancelled)
    return str(raised.value).splitlines()


_BOARD = """\
    title: Lighthouse                # names the production
    defaults:                        # any field of a clip's input
      duration: 8
      resolution: 720p
      aspect_ratio: 16:9
      sound: true
    loop: false                      # true adds last -> first
    shots:
      - image: images/dawn.png       # relative to this file, or an https URL
        prompt: slow dolly in towards the lighthouse, waves breaking, gulls crying
      - image: images/noon.jpg
        prompt: drifting clouds, the light turns golden
        duration: 4                  # overrides the defaults
        take: 2
      - image: images/dusk.webp      # the last shot needs no prompt
    """


def test_storyboard_becomes_transitions(folder: Path) -> None:
    """Each image and the next become a clip, with the settings of the first one's shot."""
    parsed = parse_storyboard(load(folder, _BOARD))

    first, second = parsed.clips
    assert (parsed.title, type(parsed.storyboard)) == ("Lighthouse", Storyboard)
    assert [image.source for image in first.images] == [
        str(folder / "images" / name) for name in ("dawn.png", "noon.jpg")
    ]
    assert (first.name, first.take) == ("dawn → noon", 1)
    assert first.prompt == "slow dolly in towards the lighthouse, waves breaking, gulls crying"
    assert first.settings == ClipSettings(duration=8, resolution="720p", aspect_ratio="16:9", sound=True)
    assert (second.name, second.take, second.settings.duration) == ("noon → dusk", 2, 4)


def test_json_is_equivalent(folder: Path) -> None:
    """The same storyboard in JSON gives the same clips."""
    yaml = load(folder, _BOARD)
    as_json = load(folder, json.dumps(yaml.value, indent="\t"), name="board.json")

    assert parse_storyboard(as_json) == parse_storyboard(yaml)


def test_dumped_storyboard_is_equivalent(folder: Path) -> None:
    """A storyboard sent as JSON by a form or a queue gives the same clips."""
    parsed = parse_storyboard(load(folder, _BOARD))
    dumped = json.loads(parsed.storyboard.model_dump_json())

    assert parse_storyboard(Document.inline(dumped, folder=folder)).clips == parsed.clips


def test_loop_returns_to_the_first(folder: Path) -> None:
    """A loop adds a clip from the last image to the first, which needs a prompt."""
    looping = _BOARD.replace("loop: false", "loop: true")

    assert errors(load(folder, looping)) == [
        "board.yaml:15: shot 3, prompt: is missing; describe what happens, here or under 'defaults'"
    ]

    with_prompt = looping.replace("duration: 8", "duration: 8\n      prompt: the day goes by")

    assert [clip.name for clip in parse_storyboard(load(folder, with_prompt)).clips] == [
        "dawn → noon",
        "noon → dusk",
        "dusk → dawn",
    ]


def test_clip_list_supports_every_mode(folder: Path) -> None:
    """A list of clips can have no image, one or two."""
    parsed = parse_storyboard(
        load(
            folder,
            """\
            defaults: {prompt: the sea at night, sound: true}
            clips:
              - name: opening
              - images: [images/dawn.png]
                prompt: a very long description of how the sun rises behind the lighthouse
              - images: [images/dawn.png, https://example.com/noon.png]
                sound: false
            """,
            name="cuts.yaml",
        )
    )

    assert (parsed.title, type(parsed.storyboard)) == ("cuts", ClipList)
    assert [(clip.mode, clip.name, clip.settings.sound) for clip in parsed.clips] == [
        ("text-to-video", "opening", True),
        ("image-to-video", "a very long description of how the sun rises behind the lig…", True),
        ("image-to-video", "the sea at night", False),
    ]
    assert [image.is_local for image in parsed.clips[2].images] == [True, False]


def test_equal_names_are_numbered() -> None:
    """Equal names get a number, even beside a name that already ends in one."""
    shots = [{"image": f"https://example.com/{name}.png"} for name in "abababa"]
    names = ["x", "x", "x (2)", "x"]

    film = parse_storyboard(Document.inline({"defaults": {"prompt": "waves"}, "shots": shots}))
    clips = parse_storyboard(
        Document.inline({"clips": [{"name": name, "prompt": "waves"} for name in names]})
    )

    assert [clip.name for clip in film.clips] == [
        "a → b",
        "b → a",
        "a → b (2)",
        "b → a (2)",
        "a → b (3)",
        "b → a (3)",
    ]
    assert [clip.name for clip in clips.clips] == ["x", "x (2)", "x (2) (2)", "x (3)"]


def test_names_fit_in_a_line() -> None:
    """Long names are shortened and control characters removed."""
    urls = [f"https://example.com/{stem}.png" for stem in ("a" * 300, "b%0Ac%1B%5B31m")]
    board = {"defaults": {"prompt": "waves"}, "shots": [{"image": url} for url in urls]}

    assert parse_storyboard(Document.inline(board)).clips[0].name == f"{'a' * 27}… → b c [31m"


def test_remote_storyboard_names_urls() -> None:
    """Images of a storyboard from a URL are relative to that URL."""
    parsed = parse_storyboard(
        Document.parse(
            b"{defaults: {prompt: waves}, shots: [{image: a.png}, {image: /b.png}]}",
            name="https://example.com/boards/night.yaml",
            base_url="https://example.com/boards/night.yaml",
        )
    )

    assert parsed.title == "night"
    assert [image.source for image in parsed.clips[0].images] == [
        "https://example.com/boards/a.png",
        "https://example.com/b.png",
    ]


def _shots(first: str, *others: str) -> str:
    """Return a storyboard whose first shot begins at line 3."""
    shots = [first, *(others or ("image: images/dusk.webp",))]
    entries = "".join(textwrap.indent(shot, "    ").replace("    ", "  - ", 1) + "\n" for shot in shots)
    return f"title: x\nshots:\n{entries}"


@pytest.mark.parametrize(
    ("shot", "line", "field", "message"),
    [
        pytest.param(
            "image: images/dawn.png\npromt: waves", 4, "promt", "did you mean 'prompt'?", id="misspelt field"
        ),
        pytest.param(
            "image: images/dawn.png\nprompt: waves\nseed: 5",
            5,
            "seed",
            "unknown field; known fields:",
            id="unknown",
        ),
        pytest.param("imgae: images/dawn.png\nprompt: waves", 3, "imgae", "'image'", id="misspelt image"),
        pytest.param("prompt: waves", 3, "image", "is missing", id="no image"),
        pytest.param("image: ''\nprompt: waves", 3, "image", "is empty", id="empty image"),
        pytest.param(
            "image: images/dawn.png\nprompt: waves\nduration: '8'",
            5,
            "duration",
            "expected a whole number, found the text '8'; write 8 without quotes",
            id="wrong type",
        ),
        pytest.param(
            "image: images/dawn.png\nprompt: waves\nduration: 5",
            5,
            "duration",
            "5 is not offered; choose one of 4, 8, 12",
            id="out of range",
        ),
        pytest.param(
            "image: images/dawn.png\nprompt: waves\nresolution: 1080p",
            5,
            "resolution",
            "480p, 720p",
            id="resolution",
        ),
        pytest.param(
            "image: images/dawn.png\nprompt: waves\naspect_ratio: 2:1", 5, "aspect_ratio", "21:9", id="ratio"
        ),
        pytest.param(
            "image: images/dawn.png\nprompt: waves\nsound: yes",
            5,
            "sound",
            "expected true or false",
            id="yes",
        ),
        pytest.param(
            "image: images/dawn.png\nprompt: waves\ntake: 0",
            5,
            "take",
            "at least 1, found the number 0",
            id="take",
        ),
        pytest.param(
            "image: images/dawn.png", 3, "prompt", "is missing; describe what happens", id="no prompt"
        ),
        pytest.param("image: images/dawn.png\nprompt: '  '", 4, "prompt", "is missing", id="blank prompt"),
        pytest.param(
            "image: images/dawn.png\nprompt: ab",
            4,
            "prompt",
            "has 2 characters; the model accepts 3",
            id="short prompt",
        ),
        pytest.param(
            f"image: images/dawn.png\nprompt: {'a' * 2501}",
            4,
            "prompt",
            "has 2501 characters",
            id="long prompt",
        ),
        pytest.param(
            "image: images/dwan.png\nprompt: waves",
            3,
            "image",
            "{folder}/images/dwan.png; did you mean 'dawn.png'",
            id="missing image",
        ),
        pytest.param("image: images\nprompt: waves", 3, "image", "is a folder", id="folder for an image"),
        pytest.param(
            "image: images/old.gif\nprompt: waves",
            3,
            "image",
            "is a GIF image; save the image as JPEG, PNG or WEBP",
            id="wrong format",
        ),
        pytest.param(
            "image: images/notes.txt\nprompt: waves", 3, "image", "is a text file", id="not an image"
        ),
        pytest.param("image: images/big.png\nprompt: waves", 3, "image", "has 100,000,", id="over 100 MB"),
        pytest.param("image: images/cut.png\nprompt: waves", 3, "image", "is a damaged PNG", id="truncated"),
        pytest.param("image: ../outside.png\nprompt: waves", 3, "image", "leads out of", id="escape by dots"),
        pytest.param(
            "image: images/out.png\nprompt: waves", 3, "image", "leads out of", id="escape by symlink"
        ),
        pytest.param("image: /etc/passwd\nprompt: waves", 3, "image", "leads out of", id="absolute path"),
        pytest.param(
            "image: 'images/a\\0.png'\nprompt: waves", 3, "image", "there is no image", id="odd name"
        ),
        pytest.param('image: "a\\0b"\nprompt: waves', 3, "image", "is not a path", id="NUL in a name"),
        pytest.param(
            "image: http://example.com/a.png\nprompt: waves", 3, "image", "is not an https URL", id="http URL"
        ),
        pytest.param(
            "image: images/dawn.png\nprompt: waves\nfit: croop",
            5,
            "fit",
            "expected 'crop', 'pad' or 'none', found the text 'croop'; choose one",
            id="unknown fit",
        ),
        pytest.param(
            "image: https://example.com/a.png\nprompt: waves\nfit: pad",
            5,
            "fit",
            "the API fetches https://example.com/a.png unchanged; use a local copy, or remove the fit",
            id="fit of a URL",
        ),
        pytest.param(
            "image: images/dawn.png\nprompt: waves\nprompt: gulls",
            5,
            "prompt",
            "appears again, after line 4",
            id="duplicate",
        ),
    ],
)
def test_error_names_position_and_remedy(
    folder: Path, shot: str, line: int, field: str, message: str
) -> None:
    """One error is one line with the file, line, field, problem and remedy."""
    (error,) = errors(load(folder, _shots(shot)))

    assert error.startswith(f"board.yaml:{line}: shot 1, {field}: ")
    assert message.format(folder=folder) in error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param(
            "shots:\n  - image: images/dawn.png\n    prompt: waves",
            "board.yaml:1: shots: has one shot; list two or more, or list separate clips under 'clips:'",
            id="one shot",
        ),
        pytest.param(
            "title: x\nshots: []",
            "board.yaml:2: shots: has no shots; list two or more, or list separate clips under 'clips:'",
            id="no shots",
        ),
        pytest.param("clips: []", "board.yaml:1: clips: has no clips; list one or more", id="no clips"),
        pytest.param(
            "title: x",
            "board.yaml:1: shots: is missing: The images in order, two or more.",
            id="neither shots nor clips",
        ),
        pytest.param(
            "titel: x\nclips: [{prompt: waves}]",
            "board.yaml:1: titel: unknown field; did you mean 'title'?",
            id="misspelt at the top",
        ),
        pytest.param(
            "clip: [{prompt: waves}]",
            "board.yaml:1: clip: unknown field; did you mean 'clips'?",
            id="misspelt clips",
        ),
        pytest.param(
            "defaults:\n  durations: 8\nclips: [{prompt: waves}]",
            "board.yaml:2: defaults, durations: unknown field; did you mean 'duration'?",
            id="misspelt default",
        ),
        pytest.param(
            "defaults:\n  promt: waves\nclips: [{name: a}, {name: b}]",
            "board.yaml:2: defaults, promt: unknown field; did you mean 'prompt'?",
            id="misspelt default prompt, reported once",
        ),
        pytest.param(
            "defaults:\n  prompt: 5\nclips: [{name: a}, {name: b}]",
            "board.yaml:2: defaults, prompt: expected text, found the number 5; put it in quotes",
            id="wrong default prompt, reported once",
        ),
        pytest.param(
            "defaults:\n  duration: 5\nclips: [{prompt: waves}, {prompt: gulls}]",
            "board.yaml:2: defaults, duration: 5 is not offered; choose one of 4, 8, 12",
            id="default out of range, reported once",
        ),
        pytest.param(
            "defaults:\n  duration: 8\nclips: [{prompt: waves, duration: 5}]",
            "board.yaml:3: clip 1, duration: 5 is not offered; choose one of 4, 8, 12",
            id="override out of range",
        ),
        pytest.param(
            "clips:\n - prompt: waves\n   images: [images/dawn.png, images/noon.jpg, images/dusk.webp]",
            "board.yaml:3: clip 1, images: has 3 images; image-to-video accepts 1 to 2",
            id="three images",
        ),
        pytest.param(
            "clips:\n - prompt: waves\n   images:\n     - images/dawn.png\n     - images/dask.webp",
            "board.yaml:5: clip 1, image 2: there is no image {folder}/images/dask.webp; "
            "did you mean 'dusk.webp'?",
            id="missing second image",
        ),
        pytest.param(
            "- image: images/dawn.png\n- image: images/noon.jpg",
            "board.yaml:1: expected fields, found a list; write 'shots:' before its first line",
            id="list at the top",
        ),
    ],
)
def test_document_errors_have_a_position(folder: Path, text: str, error: str) -> None:
    """Errors outside a shot have a position as well."""
    assert errors(load(folder, text)) == [error.format(folder=folder)]


def test_all_errors_are_reported_at_once(folder: Path) -> None:
    """No error hides another, and errors are in the order of the file."""
    found = errors(
        load(
            folder,
            """\
            titel: Lighthouse
            defaults:
              duration: 5
            shots:
              - image: images/dwan.png
                promt: slow dolly in
              - image: ../outside.png
                prompt: waves
                resolution: 1080p
                duration: "8"
              - just text
              - image: images/old.gif
                prompt: 12
              - imgae: images/dawn.png
                prompt: ab
                sound: true
                sound: false
              - image: images/big.png
                take: 0
            """,
        )
    )

    assert [line.split(": ")[:2] for line in found] == [
        ["board.yaml:1", "titel"],
        ["board.yaml:3", "defaults, duration"],
        ["board.yaml:5", "shot 1, image"],
        ["board.yaml:6", "shot 1, promt"],
        ["board.yaml:7", "shot 2, image"],
        ["board.yaml:9", "shot 2, resolution"],
        ["board.yaml:10", "shot 2, duration"],
        ["board.yaml:11", "shot 3"],
        ["board.yaml:12", "shot 4, image"],
        ["board.yaml:13", "shot 4, prompt"],
        ["board.yaml:14", "shot 5, imgae"],
        ["board.yaml:15", "shot 5, prompt"],
        ["board.yaml:17", "shot 5, sound"],
        ["board.yaml:18", "shot 6, image"],
        ["board.yaml:19", "shot 6, take"],
    ]


def test_inline_errors_name_the_field() -> None:
    """Without a file, the path of the field is the position."""
    board = {"shots": [{"image": "https://example.com/a.png"}, {"image": "b.png"}]}

    found = errors(Document.inline(board))

    assert [line.split("; ")[0] for line in found] == [
        "storyboard: shot 1, prompt: is missing",
        "storyboard: shot 2, image: 'b.png' is a local file, and this storyboard is not in a folder",
    ]


def test_outside_images_need_permission(folder: Path) -> None:
    """Images outside the folder are read only if the caller permits it."""
    outside = folder.parent / "outside.png"
    board = load(folder, _shots(f"image: {outside}\nprompt: waves"))

    assert parse_storyboard(board, allow_outside=True).clips[0].images[0].source == str(outside)


def test_unknown_model_is_a_setup_error() -> None:
    """The caller chooses the model, not the author."""
    with pytest.raises(SetupError, match=DEFAULT_MODEL):
        parse_storyboard(Document.inline({}), model="seedance-9")


def test_fit_follows_clip_and_ratio(folder: Path) -> None:
    """An image that two clips share is fitted for each of them by its own settings."""
    board = {
        "defaults": {"prompt": "waves", "fit": "crop", "aspect_ratio": "21:9"},
        "shots": [
            {"image": "images/dawn.png"},
            {"image": "images/noon.jpg", "fit": "pad", "aspect_ratio": "1:1"},
            {"image": "images/dusk.webp", "fit": "none"},
            {"image": "images/dawn.png", "aspect_ratio": "16:9"},
        ],
    }

    parsed = parse_storyboard(Document.inline({**board, "loop": True}, folder=folder))

    assert [[str(image.fitting) for image in clip.images] for clip in parsed.clips] == [
        ["crop-21:9", "crop-21:9"],
        ["pad-1:1", "pad-1:1"],
        ["None", "None"],
        ["None", "None"],  # they already have the ratio
    ]


def test_default_fit_skips_urls(folder: Path) -> None:
    """The defaults' fit applies to local images; the API fetches images at URLs unchanged."""
    shots = [{"image": "https://example.com/a.png"}, {"image": "images/dawn.png"}]
    board = {"defaults": {"prompt": "waves", "fit": "pad"}, "shots": shots}

    (clip,) = parse_storyboard(Document.inline(board, folder=folder)).clips

    assert [image.fitting and image.fitting.fit for image in clip.images] == [None, "pad"]


def test_last_shots_fit_is_ignored(folder: Path) -> None:
    """No clip begins at the last shot, so its fit is not checked."""
    shots = [
        {"image": "images/dawn.png", "prompt": "waves"},
        {"image": "https://example.com/a.png", "fit": "crop"},
    ]

    (clip,) = parse_storyboard(Document.inline({"shots": shots}, folder=folder)).clips

    assert clip.images[0].fitting is None


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        pytest.param("shots:\n- images/dawn.png\n", "write '- image: images/dawn.png'", id="bare path"),
        pytest.param("clips:\n- waves break\n", "write '- prompt: waves break'", id="bare prompt"),
        pytest.param("clips:\n- prompt: abc\n  images: a.png\n", "write 'images: [a.png]'", id="one image"),
        pytest.param("shots:\n- image: [a.png]\n", "write 'image: a.png'", id="list of one"),
        pytest.param("clips:\n- prompt: abc\n  duration: 8 s\n", "write 8 without quotes", id="unit"),
        pytest.param("clips:\n- prompt: abc\n  duration: 8.0\n", "write 8", id="fraction"),
        pytest.param("clips:\n- prompt: abc\n  duration: \uff18\n", "write 8", id="full-width digit"),
        pytest.param("clips:\n- prompt: abc\n  duration: long\n", "write a number", id="word"),
        pytest.param("clips:\n- prompt: abc\n  resolution: 720\n", "write 720p", id="resolution"),
        pytest.param("clips:\n- prompt: abc\n  sound: on\n", "write true", id="on"),
        pytest.param("clips:\n- prompt: abc\n  sound: 0\n", "write false", id="zero"),
        pytest.param("clips:\n- prompt:\n", "say what happens", id="empty prompt"),
        pytest.param("shots:\n- image:\n  prompt: abc\n", "name an image", id="empty image"),
        pytest.param("shots: []\nclips: []\n", "either 'shots' or 'clips'", id="shots and clips"),
        pytest.param("- image: a.png\n", "write 'shots:' before", id="list at the top"),
        pytest.param("waves break\n", "begins with 'shots:'", id="only text"),
        pytest.param("clips:\n- {prompt: abc, gulls crying}\n", "put that whole text in quotes", id="comma"),
    ],
)
def test_remedy_follows_value(text: str, remedy: str) -> None:
    """A message says what to write instead of the very value."""
    with pytest.raises(StoryboardError) as raised:
        parse_storyboard(Document.parse(text.encode(), name="board.yaml"))

    assert remedy in str(raised.value)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        pytest.param(
            "shots:\n- {image: images/dawn.png, prompt: abc}\n"
            "- {image: images/noon.jpg, prompt: abd, duration: 8}\n",
            "No clip begins at the last shot, so this has no effect there: prompt, duration.",
            id="last shot",
        ),
        pytest.param(
            "clips:\n- prompt: abc\n- prompt: abd\n- {prompt: abc, name: other}\n",
            "Clips 1 and 3 are the same",
            id="duplicate",
        ),
        pytest.param("clips:\n- prompt: abc\n- {prompt: abc, take: 2}\n", "", id="takes"),
    ],
)
def test_ineffective_words_are_noted(folder: Path, text: str, note: str) -> None:
    """What has no effect is not silent."""
    parsed = parse_storyboard(Document.parse(text.encode(), name="board.yaml", folder=folder))

    lines = [line for line in parsed.note.splitlines() if "(16×9)" not in line]  # of the tiny images
    assert [line.startswith(note) for line in lines] == [True] * bool(note)


def test_unexpected_error_stops_inspection(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error that is not the author's, only the files that are being read are read to their end."""
    read: list[str] = []
    is_shut_down, shutdown = threading.Event(), ThreadPoolExecutor.shutdown

    def shut_down(executor: ThreadPoolExecutor, *, wait: bool = True, cancel_futures: bool = False) -> None:
        if wait:  # it waits for the files below
            is_shut_down.set()
        shutdown(executor, wait=wait, cancel_futures=cancel_futures)
        is_shut_down.set()

    def read_object(location: Location, _: Callable[[int], None]) -> bytes:
        read.append(location.name)
        if location.name == "0.png":
            raise SetupError("The store cannot be opened")
        is_shut_down.wait()
        return b""

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", shut_down)
    shots = [{"image": f"{number}.png", "prompt": "waves"} for number in range(20)]
    document = Document.inline({"shots": shots}, folder=Location("memory://a", "boards"))

    with pytest.raises(SetupError):
        parse_storyboard(document, read_object=read_object)

    assert len(read) <= 3


def test_cancelling_stops_inspection(folder: Path) -> None:
    """Once it is cancelled, no file is read, wherever it is."""
    shots = [{"image": f"images/{name}", "prompt": "waves"} for name in ("dawn.png", "none.png")]
    references = {"videos": ["none.mp4"], "audios": ["none.mp3"]}
    content = {"defaults": {"model": "seedance-2-0", "references": references}, "shots": shots}

    found = errors(Document.inline(content, folder=folder), is_cancelled=lambda: True)

    assert len(found) == 4
    assert all(each.endswith("was not read, because loading was cancelled") for each in found)
