"""The documentation, and all text in the code, is plain English."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.pages import PAGES, ROOT

MODULES = [
    path
    for folder in ("prefect_seedance", "flows", "examples", "docs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
TEMPLATES = sorted((ROOT / "prefect_seedance").rglob("*.html"))

FORBIDDEN: Final = {
    r"who(so|m)?ever": "name the actor: the run, the author, the worker",
    r"(no|some)body": "name the actor, or use the passive",
    r"anew": "again",
    r"shall": "present tense, or 'must'",
    r"what (is|was)": "name the thing",
    r"(is|are|was|were|be|been|being) told": "receives, is configured, is notified",
    r"told by": "reported by",
    r"tells? of": "reports, describes",
    r"stands? for people": "is for people",
    r"(stands?|stood|lies?|lay|lying) (in|on|at|below|beside|behind|there|here|between)": "is in, is below",
    r"(comes?|came) to (be|an? end|nothing|know)": "becomes, ends",
    r"takes? (it )?in|taken in|took in": "continue, archive, record",
    r"(give|gives|gave|given|have|has) leave|leave to (pay|list|buy)": "permit, permission",
    r"for it (is|was|has)": "because it",
    r"goes on|going on|go on with": "continues",
    r"hears?|heard": "receive, subscribe",
    r"looks? (at|into)|looked (at|into)|looking (at|into)|have a look": "poll, inspect, read",
    r"of one's own|one's own": "your own, its own",
    r"in vain": "without need",
    r"knows? by itself|by itself knows?": "knows",
    r"mend(s|ed|ing)?": "correct, repair",
    r"falls? short|fell short": "misses, is below",
    r"so that that|that that": "rewrite the sentence",
    r"alike": "the same, of the same format",
    r"demand(s|ed|ing)?": "require, request",
    r"(had|have|has) it that|be it|so be it": "rewrite the sentence",
    r"hitherto|thereof|therein|wherein|whence|thence|lest|ere|nay|perchance|upon": "an everyday word",
    r"when it does not work out": "errors",
}
"""Dialect by its pattern, with what to write instead."""

SENTENCE_OPENERS: Final = {
    r"Besides,": "Also",
    r"Of \w+[^.;:,]{0,40};": "a sentence with a verb",
    r"As of (?!\d)": "a sentence with a subject",
}
"""Dialect at the beginning of a sentence only."""

RATES: Final = {
    r"tells?|told|telling": 0.3,
    r"(stands?|stood|standing|lies|lying)(?!-)": 0.3,
    r"what (is|was)": 0.3,
    r"(no|some)body": 0.1,
}
"""The most uses for each 1,000 words. httpx, stamina and OpenTimelineIO have 0 to 0.18 of the first, and
0.04 or less of the others."""

MIN_WORDS: Final = 3
"""Shorter strings are identifiers, keys and formats."""

CODE: Final = re.compile(r"```.*?```|``[^`]*``|`[^`\n]*`", re.DOTALL)
WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


class Passage(NamedTuple):
    """Text, with the line at which it begins."""

    line: int
    text: str


def blanked(text: str, pattern: re.Pattern[str]) -> str:
    """Replace each match by a placeholder, and keep the line breaks."""
    return pattern.sub(lambda match: "…" + "\n" * match[0].count("\n"), text)


def page_text(path: Path) -> Iterator[Passage]:
    """Return the text of a page, without its code and the targets of its links."""
    text = blanked(path.read_text(encoding="utf-8"), CODE)
    yield Passage(1, re.sub(r"\]\([^)]*\)", "]", text))


def template_text(path: Path) -> Iterator[Passage]:
    """Return the text of a template, without its tags and expressions."""
    markup = re.compile(r"<[^>]*>|\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
    yield Passage(1, blanked(path.read_text(encoding="utf-8"), markup))


def module_text(path: Path) -> Iterator[Passage]:
    """Return the docstrings, help texts, messages and comments of a module."""
    source = path.read_text(encoding="utf-8")
    for passage in [*strings(ast.parse(source)), *comments(source)]:
        yield Passage(passage.line, blanked(passage.text, CODE))


def strings(node: ast.AST) -> Iterator[Passage]:
    """Return every string that is a phrase, with placeholders for the expressions in it."""
    if isinstance(node, ast.JoinedStr):
        parts = [each.value if isinstance(each, ast.Constant) else "…" for each in node.values]
        yield from phrases(node.lineno, "".join(map(str, parts)))
        for each in node.values:
            if not isinstance(each, ast.Constant):
                yield from strings(each)
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from phrases(node.lineno, node.value)
    for child in ast.iter_child_nodes(node):
        yield from strings(child)


def comments(source: str) -> Iterator[Passage]:
    """Return blocks of comment lines as one passage each."""
    block: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != last + 1:
            yield from phrases(first, "\n".join(block))
            block = []
        first, last = (first if block else token.start[0]), token.start[0]
        block.append(token.string.lstrip("#: "))
    yield from phrases(first, "\n".join(block))


def phrases(line: int, text: str) -> Iterator[Passage]:
    """Return the text, unless it is too short to be a phrase."""
    if len(WORD.findall(text)) >= MIN_WORDS:
        yield Passage(line, text)


def texts(path: Path) -> list[Passage]:
    readers = {".md": page_text, ".py": module_text, ".html": template_text}
    return list(readers[path.suffix](path))


def search(pattern: str, text: str) -> list[re.Match[str]]:
    """Find whole words and phrases, in any case, also across line breaks."""
    spaced = rf"(?<![\w-])(?:{pattern})(?![\w-])".replace(" ", r"\s+")
    return list(re.finditer(spaced, text, re.IGNORECASE))


def openers(pattern: str, text: str) -> list[re.Match[str]]:
    """Find phrases at the beginning of a sentence."""
    return list(re.finditer(rf"(?:(?<=[.] )|(?<=\A)|(?<=\n\n)|(?<=\n- ))(?:{pattern})", text))


def dialect(passages: list[Passage]) -> list[str]:
    """Return a line for each forbidden phrase: its line number, the phrase and what to write instead."""
    found = [
        (passage.line + passage.text.count("\n", 0, match.start()), match[0], instead)
        for passage in passages
        for patterns, find in ((FORBIDDEN, search), (SENTENCE_OPENERS, openers))
        for pattern, instead in patterns.items()
        for match in find(pattern, passage.text)
    ]
    return [
        f"{line}: {' '.join(phrase.split())!r}; write: {instead}" for line, phrase, instead in sorted(found)
    ]


@pytest.mark.parametrize("path", [*PAGES, *TEMPLATES, *MODULES], ids=lambda path: str(path.relative_to(ROOT)))
def test_text_is_plain(path: Path) -> None:
    """No page, docstring, help text, message or comment has words of the dialect."""
    found = [f"{path.relative_to(ROOT)}:{line}" for line in dialect(texts(path))]

    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("paths", [PAGES, MODULES], ids=["pages", "modules"])
@pytest.mark.parametrize(("pattern", "limit"), RATES.items())
def test_words_are_rare(paths: list[Path], pattern: str, limit: float) -> None:
    """Words that the dialect overuses are as rare as in the best packages of the field."""
    passages = {path: texts(path) for path in paths}
    words = sum(len(WORD.findall(each.text)) for found in passages.values() for each in found)
    uses = [
        f"{path.relative_to(ROOT)}:{each.line + each.text.count(chr(10), 0, match.start())}: {match[0]}"
        for path, found in passages.items()
        for each in found
        for match in search(pattern, each.text)
    ]

    rate = 1000 * len(uses) / words
    assert rate <= limit, f"{rate:.2f} uses for each 1,000 words\n" + "\n".join(uses)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Whoever produces needs it.", 1),
        ("The API\nhas been\ntold.", 2),
        ("See `what is` here.\nNobody knows.", 2),
    ],
    ids=["word", "across lines", "not in code"],
)
def test_dialect_is_found(text: str, line: int) -> None:
    """Dialect is found in any case and across line breaks, with its line, but not in code."""
    (found,) = dialect([Passage(1, blanked(text, CODE))])

    assert found.startswith(f"{line}: ")


def test_every_text_is_read(tmp_path: Path) -> None:
    """Docstrings, attribute docstrings, f-strings, help texts and comments are all read."""
    module = tmp_path / "module.py"
    module.write_text(
        '"""A module docstring here."""\n'
        "X = 1\n"
        '"""An attribute docstring here."""\n'
        "# a comment of words\n"
        'raise ValueError(f"a message {X} of words")\n'
        'Parameter(help="A help text here.")\n'
    )

    assert [(line, text) for line, text in texts(module)] == [
        (1, "A module docstring here."),
        (3, "An attribute docstring here."),
        (5, "a message … of words"),
        (6, "A help text here."),
        (4, "a comment of words"),
    ]
