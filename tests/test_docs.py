"""The documentation: its links, examples, commands and lists."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from cyclopts import App
from PIL import Image
from prefect.settings import Settings

from docs.hooks import insert_tables
from prefect_seedance.api.capabilities import parse_models
from prefect_seedance.api.models import CAPABILITIES
from prefect_seedance.cli import app
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.orchestration.events import FIELDS, Event
from prefect_seedance.report.verdict import Verdict
from prefect_seedance.sandbox.faults import read_plan
from prefect_seedance.sandbox.faults.table import FAULTS
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.parser import parse_storyboard
from prefect_seedance.telemetry import METRICS, SpanName
from tests.pages import PAGES, ROOT, blocks, name_of, pages_with
from tests.sounds import sound

OTHER_OPTIONS = {
    "--first-look",  # renamed: in the changelog
    "--look-every",  # likewise
    "--min-seam",  # likewise
    "--limit",  # of Prefect's command
    "--params",  # likewise
    "--scale",  # of Docker Compose
    "--type",  # of Prefect's command
    "--check",  # of a benchmark
    "--workers",  # likewise
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files that the pages name."""
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "waves.mp3").write_bytes(sound(3))
    (tmp_path / "images").mkdir()
    for name in ("dawn.png", "noon.jpg", "dusk.webp"):
        Image.new("RGB", (64, 36), "orange").save(tmp_path / "images" / name)
    return tmp_path


STORYBOARDS = [
    pytest.param(block.text, id=f"{name_of(page)} {number}")
    for page in pages_with("yaml")
    for number, block in enumerate(blocks(page, "yaml"))
    if block.title not in {"faults.yaml", "models.yaml"}
]


@pytest.mark.parametrize("text", STORYBOARDS)
def test_storyboards_are_valid(text: str, folder: Path) -> None:
    """Every storyboard in the documentation can be parsed."""
    document = Document.parse(text.encode(), name="page", folder=folder)

    assert parse_storyboard(document).clips


def test_fault_plan_is_valid() -> None:
    """The sandbox accepts the fault plan of its page."""
    (plan,) = (block for block in blocks(ROOT / "docs/reference/sandbox.md", "yaml") if block.title)

    assert read_plan(yaml.safe_load(plan.text))


def test_model_file_is_valid() -> None:
    """The file of models on its page is accepted, with prices and other names of settings."""
    (block,) = (each for each in blocks(ROOT / "docs/how-to/change-model.md", "yaml") if each.title)

    (model,) = parse_models(block.text, known=CAPABILITIES).values()

    assert (model.settings["sound"], len(model.prices)) == ("generate_audio", 2)


def test_server_settings_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect knows the settings that keep its database small by these names, and accepts their values."""
    page = "".join(block.text for block in blocks(ROOT / "docs/how-to/workers.md", "bash"))
    found = dict(re.findall(r"^export (PREFECT_\w+)=(\S+)", page, re.MULTILINE))
    for name, value in found.items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    assert found
    assert found.keys() <= settings.to_environment_variables(exclude_unset=True).keys()
    assert settings.server.services.db_vacuum.enabled_vacuum_types == {"events", "flow_runs", "orphans"}


def test_sandbox_page_is_complete() -> None:
    """The page in the repository has every option and every fault, as the code defines them."""
    text = (ROOT / "docs/reference/sandbox.md").read_text(encoding="utf-8")

    assert insert_tables(text) == text
    assert all(f"| `{name}` |" in text for faults in FAULTS.values() for name in faults)


def command_lines() -> Iterator[object]:
    """Return each command line of this package in a code block."""
    for page in PAGES:
        text = "".join(block.text for block in blocks(page, "bash", "console")).replace("\\\n", " ")
        for number, line in enumerate(re.findall(r"^prefect-seedance ([^#\n]*)", text, re.MULTILINE)):
            yield pytest.param(line, id=f"{name_of(page)} {number}")


@pytest.mark.parametrize("line", list(command_lines()))
def test_commands_are_valid(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command accepts every command line in a code block, with its arguments and values."""
    monkeypatch.setenv("SEEDANCE_ARCHIVE", "productions")
    monkeypatch.chdir(ROOT)
    words = shlex.split(re.sub(r"\[(\w+)\]", r"\1", line).replace("faults.yaml", "mkdocs.yml"))

    app.parse_args(words)


def commands() -> Iterator[object]:
    """Return each command line of this package in a block of a page, or in its prose."""
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").replace("\\\n", " ")
        found = re.findall(r"(?:^|`)(prefect-seedance [^`\n#]*)", lines, re.MULTILINE)
        for number, line in enumerate(found):
            yield pytest.param(line, id=f"{name_of(page)} {number}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_exist(line: str) -> None:
    """Every command that a page shows exists, and has the options that the page shows."""
    name, *words = shlex.split(line.replace("…", "X"))[1:] or [""]
    options = {word.partition("=")[0] for word in words if word.startswith("--")}

    command = app[name]

    assert options - options_of(command) == set()


def options_of(command: App) -> set[str]:
    return {name for argument in command.assemble_argument_collection() for name in argument.names}


def test_options_exist() -> None:
    """Every option in the prose of the documentation exists in a command."""
    names = [name for name in app if not name.startswith("-")]
    known = {*app, *(option for name in names for option in options_of(app[name]))}

    shown = {
        (page.name, option)
        for page in PAGES
        for option in re.findall(r"`(--[a-z][a-z-]*)", page.read_text(encoding="utf-8"))
    }

    assert {each for each in shown if each[1] not in {*known, *OTHER_OPTIONS}} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names an existing file, and a heading in it if it has a fragment."""
    links = re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not is_target(page, *link)] == []


def is_target(page: Path, path: str, fragment: str) -> bool:
    target = page.parent / path if path else page
    return target.exists() and (not fragment or fragment in headings(target))


def headings(page: Path) -> set[str]:
    """Return the fragments of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_old_option_names_are_history() -> None:
    """Only the changelog has names of options that were renamed."""
    old = re.compile(r"--(first-look|look-every|min-seam)\b|\bmin_seam\b")
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]

    assert [page.name for page in pages if old.search(page.read_text(encoding="utf-8"))] == []


def test_readme_links_work_anywhere() -> None:
    """Every link of the README leads to a file of the repository, also from the page of the package index."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    defined = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", text, re.MULTILINE))
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    used = {" ".join(name.split()) for name in re.findall(r"\[([^\]]+)\](?!: http)", prose)}
    links = [*defined.values(), *re.findall(r"\]\(([^)]*)\)", text)]
    pattern = re.compile(
        re.escape(project["urls"]["Repository"]) + r"/(blob|tree|raw)/main/([^#]+)(?:#(.*))?"
    )

    found = {link: pattern.fullmatch(link) for link in links if not link.startswith("https://pypi.org")}

    assert used == set(defined)
    assert [link for link, match in found.items() if not match] == []
    for kind, name, fragment in (match.groups() for match in found.values() if match):
        assert (ROOT / name).is_dir() == (kind == "tree"), name
        assert is_target(ROOT / "README.md", name, fragment or ""), name


@pytest.mark.parametrize("page", ["README.md", "docs/explanation/architecture.md"])
def test_page_is_short(page: str) -> None:
    """The README and the overview of the structure can be read in one sitting."""
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("example", ["lighthouse/storyboard.yaml", "product/clips.yaml"])
def test_examples_are_valid(example: str) -> None:
    """Every example can be parsed with its images."""
    assert parse_storyboard(Document.load(ROOT / "examples" / example)).clips


def first_cells(page: str) -> list[str]:
    """Return the first cell of each row of a page's tables, without its backquotes."""
    rows = re.findall(r"^\| ([^|]*?) \|", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    return [row.strip("`") for row in rows]


def test_statuses_are_listed() -> None:
    """The page about statuses lists each status of a clip, each exit code and each verdict once."""
    cells = first_cells("docs/reference/statuses.md")
    text = (ROOT / "docs/reference/statuses.md").read_text(encoding="utf-8")

    assert sorted(set(cells) & set(ClipStatus)) == sorted(ClipStatus)
    assert [int(cell) for cell in cells if cell.isdigit()] == sorted(ExitCode)
    assert {verdict for verdict in Verdict if f"| `{verdict}` |" in text} == set(Verdict)


def test_events_and_artifacts_are_listed() -> None:
    """The page about events lists exactly the events, their fields and the artifacts that the code has."""
    artifacts = (ROOT / "prefect_seedance/orchestration/artifacts.py").read_text(encoding="utf-8")
    page = (ROOT / "docs/reference/events.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(seedance\.\w+\.\w+)` \|.*\|([^|]*)\|$", page, re.MULTILINE)
    kinds = set(re.findall(r'_artifact_key\([\w.]+, "([\w-]+)"\)', artifacts))

    cells = first_cells("docs/reference/events.md")

    assert sorted(name for name, _ in rows) == sorted(Event)
    assert {name: set(re.findall(r"`(\w+)`", fields)) for name, fields in rows} == {
        event: set(fields) for event, fields in FIELDS.items()
    }
    assert kinds == set(cells) & kinds == {"progress", "manifest", "report", "contact-sheet"}


def test_telemetry_is_listed() -> None:
    """The page about telemetry lists each span, and each metric with its kind, unit and description."""
    cells = first_cells("docs/reference/telemetry.md")
    text = (ROOT / "docs/reference/telemetry.md").read_text(encoding="utf-8")

    assert [cell for cell in cells if cell.startswith("seedance.")] == [
        *(f"seedance.{name}" for name in get_args(SpanName)),
        *(metric.name for metric in METRICS),
    ]
    for each in METRICS:
        assert f"| `{each.name}` | {each.kind} | `{each.unit}` | {each.description} |" in text


def test_environment_variables_are_listed() -> None:
    """The page about the configuration lists each environment variable of this package."""
    modules = (ROOT / "prefect_seedance").rglob("*.py")
    read = {
        name for path in modules for name in re.findall(r'"(SEEDANCE_\w+)"', path.read_text(encoding="utf-8"))
    }

    cells = first_cells("docs/reference/configuration.md")

    assert {cell for cell in cells if cell.startswith("SEEDANCE_")} == read
