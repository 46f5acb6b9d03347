"""The options of a production, with the defaults, bounds and help texts of command, flows and blocks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from prefect_seedance.durations import FROM_TEXT, SHOWN_AS_TIME, Seconds

_T = TypeVar("_T", bound=BaseModel)

MAX_IMAGES_LIFETIME_SECONDS: Final = 7 * 24 * 3600.0
"""No bucket signs for longer.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html, read 2026-11."""

MAX_CROSSFADE_SECONDS: Final = 2.0
"""Half of the shortest clip, so that a part of each sound track plays alone."""


@dataclass(frozen=True)
class Help:
    """The help text of an option, for the command line, for forms and for schemas."""

    description: str

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "description": self.description}


Storyboard = Annotated[
    str,
    Help(
        "A YAML or JSON file, or a folder of images. Give its path, its location in a bucket (s3://, gs://, "
        "az://) or in a Clip Archive block (block:NAME/KEY), or the https URL of a file."
    ),
]
Archive = Annotated[
    str,
    Help(
        "Where clips and ledger are stored: the path of a folder, the URL of a bucket (s3://, gs://, az://), "
        "or block:NAME for a Clip Archive block in Prefect. Default: SEEDANCE_ARCHIVE."
    ),
]
CredentialsName = Annotated[str, Help("Name of a Seedance Credentials block. Default: SEEDANCE_API_KEY.")]
AllowHosts = Annotated[
    tuple[str, ...],
    Help(
        "Names of hosts that results, images and storyboards may be read from although they are not public, "
        "such as a studio's own storage."
    ),
]
ProductionName = Annotated[str, Help("Name of the production. Default: the title of the storyboard or list.")]
ExistingProduction = Annotated[str, Help("Name or title of the production, if the archive has several.")]
Prompt = Annotated[str, Help("Prompt for every transition, if the storyboard is a folder of images.")]
_OF_FOLDER = "if the storyboard is a folder of images."
FolderDuration = Annotated[int | None, Help(f"Seconds of every clip, {_OF_FOLDER}")]
FolderResolution = Annotated[str, Help(f"Resolution of every clip, {_OF_FOLDER}")]
FolderRatio = Annotated[str, Help(f"Aspect ratio of every clip, or auto, {_OF_FOLDER}")]
FolderSound = Annotated[bool, Help(f"Generate sound for every clip, {_OF_FOLDER}")]
AllowOutside = Annotated[bool, Help("Allow images outside the storyboard's folder, by absolute paths.")]

ImagesUrl = Annotated[
    str,
    Help(
        "Public URL of the archive's images folder. Local images need it if the archive is a folder, which "
        "cannot sign URLs."
    ),
]
ImagesLifetime = Annotated[
    Annotated[float, Field(gt=0, le=MAX_IMAGES_LIFETIME_SECONDS), FROM_TEXT, SHOWN_AS_TIME],
    Help("How long the API can fetch local images from a bucket, at most 7 days."),
]

RetryFailed = Annotated[bool, Help("Pay again for clips that failed for a reason other than their content.")]
RetryRejected = Annotated[bool, Help("Pay again for clips whose content was rejected.")]
OnUnresolved = Annotated[
    Literal["report", "resubmit"],
    Help(
        "What to do about a submission with an unknown outcome: report it, or submit the clip again, which "
        "may pay for it twice."
    ),
]

Deadline = Annotated[
    Seconds,
    Help(
        "How long to wait in total. Generations continue after the deadline; the next run archives them "
        "without paying again."
    ),
]
Timeout = Annotated[Seconds, Help("Time limit of one request to the API.")]
FirstPoll = Annotated[
    Annotated[float, Field(ge=0), FROM_TEXT, SHOWN_AS_TIME] | None,
    Help("Time from acceptance to the first poll. Default: the shortest time in which the model finishes."),
]
PollEvery = Annotated[Seconds, Help("Time between two polls of a generation.")]
Settling = Annotated[
    Seconds,
    Help(
        "How long the API must report the same before it is believed, if it does not know an accepted "
        "generation, or reports success without a URL or without serving the video."
    ),
]
CallbackGrace = Annotated[
    Seconds,
    Help("How long to wait for a callback, once the generation may have ended, before polling the API."),
]
ReadLedgerEvery = Annotated[
    Seconds, Help("Time between two reads of the ledger while a callback is expected.")
]
CallbackUrl = Annotated[
    str,
    Help("Public URL of a callback receiver (see `prefect-seedance callbacks`). If omitted, the run polls."),
]
Wait = Annotated[
    bool,
    Help(
        "Wait for generations in flight. Otherwise, the run only submits, and a later run archives the clips."
    ),
]

Film = Annotated[bool, Help("Join the clips into a film.")]
Join = Annotated[
    Literal["auto", "exact"],
    Help(
        "How to join clips. auto: copy clips of the same format without re-encoding. exact: re-encode all "
        "clips, and drop the frame that two clips share at a cut."
    ),
]
Gaps = Annotated[
    Literal["skip", "slate"],
    Help("What to do about a missing clip: skip it, or show a slate for as long as the clip would last."),
]
Crossfade = Annotated[
    Annotated[float, Field(ge=0, le=MAX_CROSSFADE_SECONDS), FROM_TEXT, SHOWN_AS_TIME],
    Help("How long the sounds of two clips overlap at their cut; a value above 0 re-encodes all clips."),
]
MinSimilarity = Annotated[
    float,
    Field(ge=0, le=1),
    Help(
        "Minimum structural similarity, from 0 to 1, of a clip's first and last frame to its images and to "
        "the next clip. Clips below it fail, and so do clips that could not be compared; 0 accepts all."
    ),
]
WithReport = Annotated[bool, Help("Write the report page.")]
Rescue = Annotated[bool, Help("Archive clips that it paid for before its storyboard was edited.")]
PricePerSecond = Annotated[
    Decimal | None,
    Field(ge=0),
    Help("Price of one second of video, in your currency. Default: the price in the credentials."),
]


DEFAULT_MAX_SECONDS: Final = 1200
"""Twenty minutes of video: a hundred of the longest clips. A person approves a larger purchase."""

MaxSeconds = Annotated[
    int | None,
    Field(ge=0),
    Help(
        "Most seconds of video that the run may buy. If it would buy more, it refuses before it spends "
        "anything. Default: the limit in the credentials."
    ),
]


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Loading(_Options):
    """How to load the storyboard."""

    prompt: Prompt = ""
    allow_outside: AllowOutside = False
    duration: FolderDuration = None
    resolution: FolderResolution = ""
    aspect_ratio: FolderRatio = ""
    sound: FolderSound = False

    @property
    def defaults(self) -> dict[str, object]:
        """The settings of every clip of a folder of images, as far as they are given."""
        return {name: value for name, value in self if value and name != "allow_outside"}


class Hosting(_Options):
    """How the API can fetch local images."""

    images_url: ImagesUrl = ""
    images_lifetime_seconds: ImagesLifetime = 24 * 3600.0


class RetryPolicy(_Options):
    """Which clips to pay for again, once per run.

    A submission that started nothing costs nothing, so the next run always submits it again.
    """

    retry_failed: RetryFailed = False
    retry_rejected: RetryRejected = False
    on_unresolved: OnUnresolved = "report"


class Budget(_Options):
    """How much video a run may buy."""

    max_seconds: MaxSeconds = None


class Waiting(_Options):
    """How long to wait for generations, and how often to poll.

    The default deadline leaves room for a full queue and ends before the next run of an hourly schedule.
    """

    deadline_seconds: Deadline = 3600.0
    timeout_seconds: Timeout = 60.0
    first_poll_seconds: FirstPoll = None
    poll_every_seconds: PollEvery = 1.5
    settling_seconds: Settling = 60.0
    callback_url: CallbackUrl = ""
    callback_grace_seconds: CallbackGrace = 60.0
    read_ledger_every_seconds: ReadLedgerEvery = 5.0
    wait: Wait = True


class JoinStyle(_Options):
    """How to join clips into a film."""

    join: Join = "auto"
    gaps: Gaps = "skip"
    crossfade_seconds: Crossfade = 0.0

    @property
    def must_encode(self) -> bool:
        """Whether all clips are re-encoded, even if they have the same format."""
        return self.join == "exact" or self.crossfade_seconds > 0


class Output(JoinStyle):
    """What to make from the clips: a film, a report, and checks of the cuts."""

    film: Annotated[Film | None, Help("Join the clips into a film. Default: yes for a storyboard.")] = None
    min_similarity: MinSimilarity = 0.0
    report: WithReport = True
    rescue: Rescue = True
    price_per_second: PricePerSecond = None

    @property
    def style(self) -> JoinStyle:
        """The part that decides how clips are joined."""
        return JoinStyle(**{name: getattr(self, name) for name in JoinStyle.model_fields})

    @property
    def needs_inspection(self) -> bool:
        """Whether clips have to be inspected."""
        return bool(self.film or self.report or self.min_similarity)


def options_from(parameters: Mapping[str, Any], kind: type[_T]) -> _T:
    """Return the options of a class that a flow has as parameters of the same names, the others by default.

    Args:
        parameters: Of the flow, as its ``locals()`` returns them at its beginning.
        kind: An option class.
    """
    return kind(**{name: value for name, value in parameters.items() if name in kind.model_fields})


def describe(options: type[BaseModel], field: str) -> str:
    """Return the help text of a field of an option class."""
    return _help_in(options.model_fields[field].metadata)


def help_text(option: Any) -> str:  # noqa: ANN401 -- an `Annotated` alias has no type of its own
    """Return the help text of an option of this module, such as `Archive`."""
    return _help_in(option.__metadata__)


def _help_in(metadata: Iterable[object]) -> str:
    return [each.description for each in metadata if isinstance(each, Help)][-1]
