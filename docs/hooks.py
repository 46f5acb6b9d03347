"""Build steps of the documentation site: tables from the code, listings, pictures, and links out of it."""

import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.pages import Page
from pydantic import BaseModel

from prefect_seedance.doors import option_name
from prefect_seedance.sandbox.faults.fault import Fault
from prefect_seedance.sandbox.faults.table import FAULTS

REPOSITORY: Final = "https://github.com/prefect-seedance/prefect-seedance/blob/main"

_TABLE: Final = re.compile(r"^<!-- (fields|options|faults) of ([\w.]+) -->\n(?:\n(?:\|.*\n)+)?", re.MULTILINE)
"""A table from the code. A page may contain it too, for readers of its source; then a test compares both."""

_LISTING: Final = re.compile(r"^\[`[^`]*`\]\(([^)]*\.py)\)$", re.MULTILINE)
_PICTURE: Final = re.compile(r"^!\[[^\]]*\]\(([^):]*\.svg)\)$", re.MULTILINE)
_LINK: Final = re.compile(r"(?<=\]\()([^):#\s]+)(?=[)#])")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Complete a page. Its source stays readable, with links that work, outside of the site too."""
    file, root = Path(page.file.abs_src_path or ""), Path(config.docs_dir)
    markdown = insert_tables(markdown)
    markdown = _LISTING.sub(lambda match: _listing(file.parent / match[1]), markdown)
    markdown = _PICTURE.sub(lambda match: _picture(file.parent / match[1]), markdown)
    return _LINK.sub(lambda match: _link(match[1], file=file, root=root), markdown)


def insert_tables(markdown: str) -> str:
    """Return a page with its tables from the code, each below the comment that names it."""
    return _TABLE.sub(
        lambda match: f"<!-- {match[1]} of {match[2]} -->\n\n{_TABLES[match[1]](match[2])}\n", markdown
    )


def _link(path: str, *, file: Path, root: Path) -> str:
    """Return the link to a file, which is in the repository if it is not in the site."""
    target = (file.parent / path).resolve()
    return path if root in target.parents else f"{REPOSITORY}/{quote(str(target.relative_to(root.parent)))}"


def _listing(file: Path) -> str:
    """Return a whole script as a code block, in place of the link to it."""
    name = f"{file.parent.name}/{file.name}"
    return f'```python title="{name}"\n{file.read_text(encoding="utf-8").strip()}\n```'


def _picture(file: Path) -> str:
    """Return an SVG itself, in place of the link to it, so that it follows the colours of the site."""
    return f"<figure>\n{file.read_text(encoding='utf-8').strip()}\n</figure>"


def _fields(name: str) -> str:
    """Return a table of a model's fields."""
    return _table(
        ("field", "value", "default", "meaning"),
        (
            (f"`{field}`", _values(each), _default(each, is_required=is_required), each["description"])
            for field, each, is_required in _properties(_found(name))
        ),
    )


def _options(name: str) -> str:
    """Return a table of an option class, with the options of the command line."""
    return _table(
        ("field", "option", "value", "default", "meaning"),
        (
            (f"`{field}`", f"`--{option_name(field)}`", _values(each), _default(each), each["description"])
            for field, each, _ in _properties(_found(name))
        ),
    )


def _faults(kind: str) -> str:
    """Return a table of the faults of one kind."""
    faults: Mapping[str, type[Fault]] = dict(FAULTS)[kind]  # type: ignore[index]  # from a page
    return _table(
        ("fault", "effect", "parameters"),
        ((f"`{name}`", _paragraphs(fault), _parameters(fault)) for name, fault in faults.items()),
    )


_TABLES: Final[Mapping[str, Callable[[str], str]]] = {
    "fields": _fields,
    "options": _options,
    "faults": _faults,
}


def _found(name: str) -> type[BaseModel]:
    module, _, attribute = name.rpartition(".")
    model: type[BaseModel] = getattr(import_module(module), attribute)
    return model


def _properties(model: type[BaseModel]) -> Iterable[tuple[str, dict[str, Any], bool]]:
    schema = model.model_json_schema()
    for field, each in schema["properties"].items():
        yield field, each, field in schema.get("required", ())


def _values(schema: Mapping[str, Any]) -> str:
    """Describe the type of a field, with its choices and bounds."""
    if "$ref" in schema:
        return f"[{_name(schema)}](#{_name(schema).lower()})"
    if "anyOf" in schema:
        return " or ".join(_values(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_values(schema['items'])}"
    words = {"string": "text", "number": "number", "integer": "integer", "boolean": "true or false"}
    return words[schema["type"]] + "".join(
        f", {sign} {schema[bound]:g}" for bound, sign in _BOUNDS.items() if bound in schema
    )


_BOUNDS: Final = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _default(schema: Mapping[str, Any], *, is_required: bool = False) -> str:
    """Return a default, or nothing if the field has none that a reader can use."""
    default = schema.get("default")
    if is_required:
        return "required"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, str | int | float) and default != "":
        return f"`{default:.10g}`" if isinstance(default, float) else f"`{default}`"
    return ""


def _paragraphs(fault: type[Fault]) -> str:
    return " ".join((fault.__doc__ or "").split())


def _parameters(fault: type[Fault]) -> str:
    shown = []
    for field, each, is_required in _properties(fault) if fault.model_fields else ():
        default = _default(each, is_required=is_required)
        shown.append(f"`{field}`: {_values(each)}" + (f" ({default})" if default else ""))
    return "; ".join(shown)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *rows]
    lines.insert(1, ("---",) * len(lines[0]))  # type: ignore[arg-type]  # of str, as all lines
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
