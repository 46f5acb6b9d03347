"""What a sandbox can be told when it starts."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, DirectoryPath, Field, FilePath


class Settings(BaseModel):
    """The options of one sandbox; the defaults are the contract's own figures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 takes any free one.")] = 8765
    api_key: Annotated[str, Field(min_length=1, description="The key that requests must carry.")] = (
        "sandbox-key"
    )
    other_api_key: Annotated[
        str | None,
        Field(min_length=1, description="A second customer's key, who sees only its own generations."),
    ] = None
    speed: Annotated[
        float,
        Field(gt=0, description="How many times faster than the real API generations and callbacks go."),
    ] = 1.0
    frame_rate: Annotated[
        int, Field(ge=1, le=60, description="Frames per second of the videos; few make a campaign cheap.")
    ] = 24
    serve: Annotated[
        DirectoryPath | None, Field(description="Folder whose files can be fetched below /hosted/.")
    ] = None
    faults: Annotated[FilePath | None, Field(description="YAML plan of what shall go wrong.")] = None
    seed: Annotated[int, Field(description="Seed of everything that is drawn at random.")] = 0
    requests_per_minute: Annotated[
        int, Field(ge=1, description="API requests answered within any minute; 429 beyond.")
    ] = 10_000
    max_in_flight: Annotated[
        int, Field(ge=1, description="Generations pending or processing at a time; 429 beyond.")
    ] = 1_000
    balance_seconds: Annotated[
        int | None,
        Field(ge=0, description="Seconds of video that can be paid for; 402 beyond. Unlimited if not given."),
    ] = None
    result_lifetime_seconds: Annotated[
        float, Field(ge=0, description="Seconds for which a result URL works; the default is 15 days.")
    ] = 15 * 86_400.0
