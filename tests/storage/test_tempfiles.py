import resource
from pathlib import Path

import pytest

from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.storage.tempfiles import GuardedFile, probe_temporary_folder, temporary_file


def test_full_disk_names_the_remedy() -> None:
    """If the disk is full, the error names the folder and the remedy."""
    with Path("/dev/full").open("r+b", buffering=0) as full, pytest.raises(ArchiveError, match="TMPDIR"):
        GuardedFile(full).write(b"film")


def test_missing_folder_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the temporary folder does not exist, the error names it and the remedy."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")

    with (
        pytest.raises(ArchiveError, match=r"/nowhere cannot be written \(No such .*TMPDIR"),
        temporary_file(),
    ):
        pass


def test_guarded_file_is_its_file() -> None:
    """A guarded file writes, seeks and truncates the file that it guards."""
    with temporary_file() as file:
        guarded = GuardedFile(file)
        guarded.write(b"film and more")
        guarded.truncate(4)
        guarded.seek(0)
        guarded.write(b"F")

        assert guarded.tell() == 1
        assert (guarded.writable(), guarded.seekable()) == (True, True)
        file.seek(0)
        assert file.read() == b"Film"


def test_temporary_file_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder stays empty while a temporary file is open, so a killed process leaves nothing."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with temporary_file() as file:
        file.write(b"film")

        assert list(tmp_path.iterdir()) == []


def test_probe_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe of the temporary folder leaves no file."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    probe_temporary_folder()

    assert list(tmp_path.iterdir()) == []


def test_probe_finds_full_disk() -> None:
    """A disk on which files can be created and not written is a wrong set-up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(SetupError, match=r"File too large.*TMPDIR.*Nothing was spent"):
            probe_temporary_folder()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_deadline_is_no_disk_error() -> None:
    """A deadline that expires while a temporary file is open is not translated."""
    with pytest.raises(TimeoutError), temporary_file():
        raise TimeoutError
