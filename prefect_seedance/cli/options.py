"""Options that several commands have, each described once."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final, Literal

from cyclopts import Group, Parameter, Token

from prefect_seedance.cli.history import opened
from prefect_seedance.clips.submit import RetryPolicy
from prefect_seedance.film.assembly import MOST_CROSSFADE_SECONDS, Style
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.parser import ParsedStoryboard

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")


def _seconds(_: object, tokens: Sequence[Token]) -> float:
    match = _DURATION.fullmatch(tokens[0].value.strip())
    if not match:
        raise ValueError("say it in seconds, or like 90m or 2h")
    return float(match.group(1)) * _UNITS[match.group(2)]


def _positive(_: object, value: float | None) -> None:
    if value is not None and value <= 0:
        raise ValueError("must be more than 0")


PLAIN: Final = Parameter(negative=(), show_default=False)
"""How options are unless they say otherwise: flags have no ``--no-``, and no default means none."""


Seconds = Annotated[float, Parameter(converter=_seconds, n_tokens=1, validator=_positive)]
"""A time such as ``90``, ``90m`` or ``2h``."""

Source = Annotated[
    str,
    Parameter(
        help="A file of YAML or JSON, or a folder of images: here, in a bucket (s3://, gs://, az://), or in "
        "an archive that Prefect knows (block:NAME/). Or the URL of a file."
    ),
]
Archive = Annotated[
    str,
    Parameter(
        env_var="SEEDANCE_ARCHIVE",
        help="Where clips and ledger live: a folder's path; s3://, gs://, az:// with a bucket; or "
        "block:NAME, a Clip Archive block in Prefect.",
    ),
]
Production = Annotated[
    str, Parameter(help="The production's name, or its title; not needed if the archive has one only.")
]
Price = Annotated[Decimal | None, Parameter(help="What a second of video costs your account.")]
Json = Annotated[bool, Parameter(help="Print one JSON object for programs.")]
Verbose = Annotated[bool, Parameter(help="Show Prefect's logs, and where errors come from.")]


def _up_to(most: float) -> Callable[[object, float], None]:
    def check(_: object, value: float) -> None:
        if not 0 <= value <= most:
            raise ValueError(f"must be from 0 to {most:g}")

    return check


Share = Annotated[float, Parameter(validator=_up_to(1))]

_CLIPS = Group("Clips", sort_key=1)
FILM = Group("Film and report", sort_key=4)


@Parameter(name="*", group=FILM)
@dataclass(frozen=True, kw_only=True)
class Cutting:
    """How clips become a film."""

    join: Annotated[
        Literal["auto", "exact"],
        Parameter(
            help="auto leaves alike clips untouched; exact encodes all anew and drops the frame that is "
            "there twice at a cut. [auto]"
        ),
    ] = "auto"
    gaps: Annotated[
        Literal["skip", "slate"],
        Parameter(help="Go on where a clip is missing, or say so on the screen as long as it lasts. [skip]"),
    ] = "skip"
    crossfade: Annotated[
        float,
        Parameter(
            validator=_up_to(MOST_CROSSFADE_SECONDS),
            help="How many seconds the sounds of two clips blend at their cut; encodes all anew. [0]",
        ),
    ] = 0.0

    @property
    def style(self) -> Style:
        """It, in the words of `film.join`."""
        return Style(join=self.join, gaps=self.gaps, crossfade_seconds=self.crossfade)


@Parameter(name="*", group=_CLIPS)
@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which clips are wanted, besides what the storyboard says."""

    name: Annotated[str, Parameter(help="Name of the production, if not its title.")] = ""
    prompt: Annotated[str, Parameter(help="What happens between the images of a folder.")] = ""
    allow_outside: Annotated[
        bool, Parameter(help="Permit images outside the storyboard's folder, by absolute path.")
    ] = False
    retry_failed: Annotated[bool, Parameter(help="Pay again for clips that failed.")] = False
    retry_rejected: Annotated[bool, Parameter(help="Pay again for clips whose content was rejected.")] = False
    on_unresolved: Annotated[
        Literal["report", "resubmit"],
        Parameter(
            help="What to do about submissions that nobody knows the end of; to resubmit may pay twice."
        ),
    ] = "report"

    @property
    def policy(self) -> RetryPolicy:
        """Which failed clips may be paid for again."""
        return RetryPolicy(
            retry_failed=self.retry_failed,
            retry_rejected=self.retry_rejected,
            resubmit_unresolved=self.on_unresolved == "resubmit",
        )

    async def read(self, storyboard: str) -> ParsedStoryboard:
        """Read the storyboard.

        Raises:
            StoryboardError: If it has mistakes.
        """
        return await load_storyboard(
            storyboard, prompt=self.prompt, allow_outside=self.allow_outside, opener=opened
        )
