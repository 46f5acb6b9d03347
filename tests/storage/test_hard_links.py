import errno
import os
from pathlib import Path

import pytest

from prefect_seedance.errors import SetupError
from prefect_seedance.storage.hard_links import check_hard_links
from prefect_seedance.storage.store import Store


@pytest.fixture(params=[errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EIO], ids=os.strerror)
def _no_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every hard link fail, as on file systems without them."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("name", [".", "archive", "films/of/mine"])
def test_accepts_usual_folders(tmp_path: Path, name: str) -> None:
    """A folder with hard links is accepted, also before it exists, and nothing is left in it."""
    check_hard_links(tmp_path / name)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_no_links")
@pytest.mark.parametrize("name", [".", "archive", "films/of/mine"])
def test_refuses_folders_without_links(tmp_path: Path, name: str) -> None:
    """A folder without hard links is refused with the cause and a remedy, and nothing is left in it."""
    with pytest.raises(SetupError, match=r"without hard links .*\. Use a folder on another disk"):
        check_hard_links(tmp_path / name)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_no_links")
async def test_probe_names_missing_links(tmp_path: Path) -> None:
    """The probe before a run refuses such a folder by its cause."""
    with pytest.raises(SetupError, match="without hard links"):
        await Store.open(str(tmp_path / "archive")).probe()


async def test_unwritable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that can only be read is refused with the reason, although no link was tried."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", refuse)

    with pytest.raises(SetupError, match=r"cannot be used: Read-only file system\. Nothing was spent"):
        await Store.open(str(tmp_path)).check_folder()
