from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, StringConstraints

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storyboard.document import Document
from prefect_seedance.storyboard.validation import Proof, proofread


class Leg(BaseModel):
    """A part of the example."""

    model_config = ConfigDict(extra="forbid")

    length: StrictInt = Field(ge=1, description="Its length.")
    painted: StrictBool = False


class Table(BaseModel):
    """The example that documents are held against."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[StrictStr, StringConstraints(strip_whitespace=True, max_length=9)] = ""
    legs: tuple[Leg, ...] = Field(description="What it stands on.")


_BLANKS = {("legs",): (), ("legs", "*"): {"length": 1}, ("legs", "*", "length"): 1}


def proof_of(value: object) -> Proof[Table]:
    return proofread(Document.inline(value, name="table"), kind=Table, blanks=_BLANKS)


def test_flawless_document_is_its_model() -> None:
    """Without mistakes nothing is mended."""
    proof = proof_of({"legs": [{"length": 3}]})

    assert proof.words == Table(legs=(Leg(length=3),))
    assert (proof.mistakes, proof.blamed) == ((), frozenset())


@pytest.mark.parametrize(
    ("value", "says"),
    [
        pytest.param(
            {"legs": [{"lenght": 3}]},
            "table: legs[0].lenght: unknown field; did you mean 'length'?",
            id="misspelt, so not missing as well",
        ),
        pytest.param(
            {"legs": [], "NAME": "x"}, "table: NAME: unknown field; did you mean 'name'?", id="wrong case"
        ),
        pytest.param(
            {"legs": [], "colour": "x"}, "table: colour: unknown field; known are name, legs", id="unknown"
        ),
        pytest.param(
            {"name": "x\ud83d", "legs": []},
            r"table: name: expected whole characters, found the text 'x\ud83d'; "
            "retype the half one (a lone surrogate)",
            id="half a character",
        ),
        pytest.param(
            {"name": "x" * 10, "legs": []},
            "table: name: String should have at most 9 characters",
            id="what only pydantic has words for",
        ),
        pytest.param({}, "table: legs: is missing: What it stands on.", id="missing"),
        pytest.param(
            {"legs": [{"length": "3"}]},
            "table: legs[0].length: expected a whole number, found the text '3'; write it without quotes",
            id="text for a number",
        ),
        pytest.param(
            {"legs": [{"length": 3.5}]},
            "table: legs[0].length: expected a whole number, found the number 3.5; write it without quotes",
            id="fraction for a whole number",
        ),
        pytest.param(
            {"legs": [{"length": 0}]},
            "table: legs[0].length: expected a number of at least 1, found the number 0; raise it",
            id="too small",
        ),
        pytest.param(
            {"name": 5, "legs": []},
            "table: name: expected text, found the number 5; put it in quotes",
            id="number for text",
        ),
        pytest.param(
            {"name": True, "legs": []},
            "table: name: expected text, found true; put it in quotes",
            id="true for text",
        ),
        pytest.param(
            {"legs": [{"length": 1, "painted": "yes"}]},
            "table: legs[0].painted: expected true or false, found the text 'yes'; "
            "write one of them without quotes",
            id="yes for true",
        ),
        pytest.param(
            {"legs": None},
            "table: legs: expected a list, found nothing; begin each entry with '- '",
            id="nothing for a list",
        ),
        pytest.param(
            {"legs": ["x" * 99]},
            f"table: legs[0]: expected fields, found the text '{'x' * 39}…'; write them as 'name: value'",
            id="long text for fields",
        ),
    ],
)
def test_mistakes_are_told_for_people(value: object, says: str) -> None:
    """Each mistake names the field, what was expected, what was found and the remedy."""
    assert [str(mistake) for mistake in proof_of(value).mistakes] == [says]


def test_reading_goes_on_after_mistakes() -> None:
    """What is right is kept, and what is wrong is blank or left out."""
    value = {"nmae": "x", "legs": [{"length": "3", "painted": True}, "four", {"lenght": 5}, {"length": 6}]}

    before = repr(value)

    proof = proof_of(value)

    legs = (Leg(length=1, painted=True), Leg(length=1), Leg(length=1), Leg(length=6))
    assert proof.words == Table(legs=legs)
    assert len(proof.mistakes) == 4
    assert repr(value) == before


@pytest.mark.parametrize(
    ("trail", "blamed"),
    [
        pytest.param(("legs", 0, "lenght"), True, id="the wrong field"),
        pytest.param(("legs", 0, "length"), True, id="what it was meant to be"),
        pytest.param(("legs", 1, "length"), True, id="inside of what is wrong"),
        pytest.param(("legs", 0, "painted"), False, id="beside it"),
        pytest.param(("legs",), False, id="around it"),
    ],
)
def test_blame_covers_what_follows(trail: tuple[str | int, ...], blamed: bool) -> None:  # noqa: FBT001 -- a column
    """Nobody complains a second time about the consequence of a mistake."""
    assert proof_of({"legs": [{"lenght": 3}, "four"]}).blames(trail) is blamed


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([{"length": 3}], id="list"),
        pytest.param("legs", id="text"),
        pytest.param(None, id="nothing"),
    ],
)
def test_hopeless_documents_are_refused(value: object) -> None:
    """What is no set of fields cannot be read on."""
    with pytest.raises(StoryboardError, match=r"^table: "):
        proof_of(value)


def test_missing_blanks_hide_no_mistake() -> None:
    """If reading cannot go on, what was found so far is told."""
    document = Document.inline({"legs": ["four"], "nmae": "x"}, name="table")

    with pytest.raises(StoryboardError) as raised:
        proofread(document, kind=Table, blanks={})

    assert [line.split(": ")[1] for line in str(raised.value).splitlines()] == ["legs[0]", "nmae"]
