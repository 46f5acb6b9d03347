"""The options of a sandbox."""

from typing import Annotated

from cyclopts import Parameter
from pydantic import BaseModel, ConfigDict, DirectoryPath, Field, FilePath


class Settings(BaseModel):
    """The options of one sandbox; the defaults are the limits of the contract."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 picks a free port.")] = 8765
    api_key: Annotated[str, Field(min_length=1, description="API key that requests must send.")] = (
        "sandbox-key"
    )
    other_api_key: Annotated[
        str | None,
        Field(
            min_length=1, description="API key of a second customer, which can read its own generations only."
        ),
    ] = None
    speed: Annotated[
        float,
        Field(gt=0, description="Speed of generations and callbacks, as a multiple of the real API's."),
    ] = 1.0
    frame_rate: Annotated[
        int, Field(ge=1, le=60, description="Frames per second of the videos; a low rate saves CPU time.")
    ] = 24
    models: Annotated[
        FilePath | None,
        Parameter(env_var="SEEDANCE_MODELS"),
        Field(description="YAML file of further models, as runs use it. Default: SEEDANCE_MODELS."),
    ] = None
    serve: Annotated[DirectoryPath | None, Field(description="Folder to serve under /hosted/.")] = None
    faults: Annotated[FilePath | None, Field(description="YAML file with the fault plan.")] = None
    seed: Annotated[int, Field(description="Seed of all random choices.")] = 0
    requests_per_minute: Annotated[
        int, Field(ge=1, description="API requests allowed per minute; more are refused with 429.")
    ] = 10_000
    max_in_flight: Annotated[
        int, Field(ge=1, description="Generations allowed in flight; more are refused with 429.")
    ] = 1_000
    balance_seconds: Annotated[
        int | None,
        Field(
            ge=0,
            description="Seconds of video that the balance covers; more get 402. Default: no limit.",
        ),
    ] = None
    result_lifetime_seconds: Annotated[
        float, Field(ge=0, description="Seconds until a result URL expires; the default is 15 days.")
    ] = 15 * 86_400.0
