import pytest

from prefect_seedance.errors import SetupError
from prefect_seedance.video import decoders
from prefect_seedance.video.decoders import check_decoders


def test_installed_decoders_suffice() -> None:
    """PyAV's own build decodes the API's videos."""
    check_decoders()


def test_missing_decoder_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build of PyAV without a decoder is a wrong set-up."""
    monkeypatch.setattr(decoders, "_REQUIRED", ("aac", "no-such-codec"))

    with pytest.raises(SetupError, match=r"cannot decode no-such-codec.*Nothing was spent.*pip install"):
        check_decoders()
