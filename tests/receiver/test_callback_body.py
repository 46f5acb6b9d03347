import gzip
import json
import zlib
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from prefect_seedance.receiver.callback_body import find_generation_id

BODY: dict[str, Any] = {
    "code": 200,
    "message": "Erfolg für Ada",
    "data": {"taskId": "task_1", "state": "success", "resultJson": '{"resultUrls": ["https://cdn/1.mp4"]}'},
}
TEXT = json.dumps(BODY, ensure_ascii=False)


def _bare(content: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush()


@pytest.mark.parametrize(
    ("content_encoding", "body"),
    [
        ("", TEXT.encode()),
        ("identity", TEXT.encode()),
        ("gzip", gzip.compress(TEXT.encode())),
        ("x-gzip", gzip.compress(TEXT.encode())),
        ("", gzip.compress(TEXT.encode())),
        ("gzip", TEXT.encode()),
        ("deflate", zlib.compress(TEXT.encode())),
        ("deflate", _bare(TEXT.encode())),
        ("deflate, gzip", gzip.compress(zlib.compress(TEXT.encode()))),
    ],
    ids=["plain", "identity", "gzip", "x-gzip", "unannounced", "gzip undone", "deflate", "bare", "twice"],
)
def test_reads_compressed_bodies(content_encoding: str, body: bytes) -> None:
    """A body that a gateway has compressed is read, whatever the header says about it."""
    assert find_generation_id(body, content_encoding=content_encoding) == "task_1"


@pytest.mark.parametrize(
    "charset", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "cp500"]
)
def test_reads_any_charset(charset: str) -> None:
    """A body is read in the charset of its first bytes or of its type."""
    content_type = f'text/plain; charset="{charset}"'

    assert find_generation_id(TEXT.encode(charset), content_type=content_type) == "task_1"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (TEXT, "text/plain"),
        (TEXT, "application/octet-stream"),
        (TEXT, "charset=nonsense"),
        (f"\ufeff\r\n{TEXT}\r\n", "application/json"),
        (json.dumps([BODY]), "application/json"),
        (json.dumps(BODY["data"]), "application/json"),
        (json.dumps({"task_id": "task_1"}), "application/json"),
        (json.dumps({"body": TEXT}), "application/json"),
        (json.dumps({**BODY, "data": json.dumps(BODY["data"])}), "application/json"),
        (json.dumps(TEXT), "application/json"),
        (urlencode({"payload": TEXT}), "application/x-www-form-urlencoded"),
        (urlencode({"data": json.dumps(BODY["data"]), "code": 200}), "application/x-www-form-urlencoded"),
        (urlencode({"taskId": "task_1", "state": "success"}), "application/x-www-form-urlencoded"),
        (quote(TEXT), "application/x-www-form-urlencoded"),
    ],
    ids=[
        "text", "bytes", "odd charset", "mark and line ends", "list", "only data", "other name", "wrapped",
        "data as text", "text of text", "form", "form of data", "form of fields", "quoted",
    ],
)  # fmt: skip
def test_reads_other_forms(body: str, content_type: str) -> None:
    """The id is found in any wrapping, whatever the content type."""
    assert find_generation_id(body.encode(), content_type=content_type) == "task_1"


@pytest.mark.parametrize(
    ("body", "content_encoding"),
    [
        (b"", ""), (b"no JSON", ""), (b"[]", ""), (b'{"data": null}', ""), (b'{"data": {"taskId": 7}}', ""),
        (b"<xml>task_1</xml>", ""), (b'{"taskId": "task 1"}', ""), (b"[" * 60_000, ""),
        (b"a=b&" * 10_000, ""),
        (b"[[[[[[[[" + TEXT.encode() + b"]]]]]]]]", ""), (gzip.compress(TEXT.encode())[:-9], "gzip"),
        (gzip.compress(TEXT.encode() + b" " * 10**7), "gzip"), (b"\x28\xb5\x2f\xfd\x00", "zstd"),
        (b"{}", "br"),
    ],
    ids=lambda value: f"{value!r:.24}",
)  # fmt: skip
def test_other_bodies_have_no_id(body: bytes, content_encoding: str) -> None:
    """A body without a readable id has none, however large or deep it is."""
    assert find_generation_id(body, content_encoding=content_encoding) is None
