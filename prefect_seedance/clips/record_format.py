"""Store records as JSON that older and newer versions can read."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from prefect_seedance.api.wire import RECORDED
from prefect_seedance.errors import SetupError, UnreadableRecordError


class Record(BaseModel):
    """One object of the archive that is created and never changed.

    Attributes:
        schema_version: Raised with a change that older versions cannot read, so that they name the remedy.
            Other versions are read as far as possible.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = 1


_M = TypeVar("_M", bound=BaseModel)


def parse_record(kind: type[_M], content: bytes, *, link: str, remedy: str) -> _M:
    """Parse a record, ignoring the fields and accepting the choices that newer versions have added.

    Args:
        kind: A model with a ``schema_version``.
        content: The record as it is stored; empty if it is missing.
        link: The record's path or URL, for the message.
        remedy: What to do if the record is damaged.

    Raises:
        UnreadableRecordError: If it is damaged, or a newer version wrote it.
    """
    try:
        return kind.model_validate_json(content, extra="ignore", context=RECORDED)
    except ValidationError:
        if _version(content) > kind.model_fields["schema_version"].default:
            problem = "was written by a newer version; upgrade prefect-seedance to read it"
        else:
            problem = f"is missing or damaged; {remedy}"
        raise UnreadableRecordError(f"The record {link} {problem}") from None


def _version(content: bytes) -> int:
    try:
        version = from_json(content)["schema_version"]
    except (ValueError, TypeError, LookupError):
        return 0
    return version if isinstance(version, int) else 0


def serialize_record(record: BaseModel) -> bytes:
    """Return a record as it is stored, after checking that it can be read back.

    Raises:
        SetupError: If it cannot, because a name in it is not valid Unicode.
    """
    try:
        content = record.model_dump_json(indent=2).encode()
        type(record).model_validate_json(content, extra="ignore", context=RECORDED)
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise SetupError(
            f"The {type(record).__name__.lower()} was not recorded, because it could not be read back: "
            f"{reason}. Check the names of the clip, the production and the user for invalid UTF-8"
        ) from None
    return content
