"""The options of a catalogue, with the defaults, bounds and help texts of command and flow."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from prefect_seedance.durations import Seconds
from prefect_seedance.options import CredentialsName, Help

STORYBOARD_DEPLOYMENT: Final = "storyboard-to-transitions/storyboard"

CatalogSource = Annotated[
    str,
    Help(
        "A folder, or a prefix in a bucket (s3://, gs://, az://, block:NAME/PREFIX): its YAML and JSON "
        "files, and the storyboard.yaml of each subfolder. Or a CSV file with a column storyboard, and "
        "columns for priority and parameters of the runs."
    ),
]
CatalogName = Annotated[str, Help("Name of the catalogue. Default: the name of its folder or file.")]
AtATime = Annotated[int, Field(gt=0), Help("How many storyboards to make at a time.")]
CatalogDeployment = Annotated[str, Help("Deployment that makes one storyboard, as FLOW/DEPLOYMENT.")]
CatalogDeadline = Annotated[
    Seconds,
    Help("How long to wait for all runs. Runs that have started continue after it."),
]
CatalogSeconds = Annotated[
    int | None,
    Field(ge=0),
    Help(
        "Most seconds of video that all runs of the catalogue together may buy. If they would buy more, "
        "none is started. Default: the limit in the credentials."
    ),
]


class CatalogOptions(BaseModel):
    """How to make a catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: CatalogName = ""
    credentials: CredentialsName = ""
    deployment: CatalogDeployment = STORYBOARD_DEPLOYMENT
    at_a_time: AtATime = 4
    max_seconds: CatalogSeconds = None
    deadline_seconds: CatalogDeadline = 86_400.0
