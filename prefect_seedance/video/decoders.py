"""Check that videos can be decoded on this machine."""

from typing import Final

import av
from av.codec import CodecContext

from prefect_seedance.errors import SetupError

_REQUIRED: Final = ("h264", "aac")
"""The codecs of the API's videos."""


def check_decoders() -> None:
    """Check that PyAV has the decoders that verify a clip, before clips are bought.

    Raises:
        SetupError: A decoder is missing or cannot be opened.
    """
    for name in _REQUIRED:
        try:
            CodecContext.create(name, "r").open()
        except (av.FFmpegError, av.codec.codec.UnknownCodecError, ValueError) as error:
            raise SetupError(
                f"PyAV {av.__version__} cannot decode {name} ({error}), so no clip could be verified. "
                "Nothing was spent. Install PyAV's own build: "
                "pip install --force-reinstall --only-binary :all: av"
            ) from error
