"""moto's S3, made stricter in three things and milder in another.

Conditional writes exclude each other, as the real ones do: moto looks, and then writes. A key that is called
UNTIL and a Unix time is temporary, and expires then. An upload was begun when it was, not in 2010. Signed
URLs are taken for right where moto asks who is there, for it can read only headers.

Run: python -m tests.s3_endpoint PORT [CERTIFICATE KEY]
"""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from moto.core.authorization import ActionAuthenticatorMixin
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

_ONE_AT_A_TIME = threading.Lock()
_TEMPORARY = re.compile(r"Credential=UNTIL(\d+)/")
_EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
_UPLOAD = re.compile(rb"<Upload>.*?</Upload>", re.DOTALL)
_UPLOAD_ID = re.compile(rb"<UploadId>(.*?)</UploadId>")
_INITIATED = re.compile(rb"(?<=<Initiated>).*?(?=</Initiated>)")
_BEGUN: dict[bytes, bytes] = {}
_REQUEST = threading.local()
_moto = DomainDispatcherApplication(create_backend_app)
_check = ActionAuthenticatorMixin._authenticate_and_authorize_s3_action


def _check_unsigned(self: ActionAuthenticatorMixin, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 -- moto's
    if not _REQUEST.is_signed:
        _check(self, *arguments, **options)


ActionAuthenticatorMixin._authenticate_and_authorize_s3_action = _check_unsigned  # type: ignore[method-assign]  # see above


def endpoint(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request."""
    until = _TEMPORARY.search(environ.get("HTTP_AUTHORIZATION", ""))
    if until and time.time() >= int(until[1]):
        start_response("400 Bad Request", [("Content-Type", "application/xml")])
        return [_EXPIRED]
    _REQUEST.is_signed = "X-Amz-Signature=" in environ["QUERY_STRING"]
    if "HTTP_IF_NONE_MATCH" in environ and environ["REQUEST_METHOD"] == "PUT":
        with _ONE_AT_A_TIME:
            return list(_moto(environ, start_response))
    if "uploads" in environ["QUERY_STRING"]:
        return [_dated(b"".join(_moto(environ, start_response)))]
    return _moto(environ, start_response)  # type: ignore[no-any-return]  # moto has no types


def _dated(answer: bytes) -> bytes:
    """Note down when an upload is begun, and say it of those that are listed."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z").encode()
    for upload_id in _UPLOAD_ID.findall(answer):
        _BEGUN.setdefault(upload_id, now)

    def dated(upload: re.Match[bytes]) -> bytes:
        (upload_id,) = _UPLOAD_ID.findall(upload[0])
        return _INITIATED.sub(_BEGUN[upload_id], upload[0])

    return _UPLOAD.sub(dated, answer)


if __name__ == "__main__":
    port, *certificate = sys.argv[1:]
    tls = tuple(certificate) or None
    run_simple("127.0.0.1", int(port), endpoint, threaded=True, ssl_context=tls)  # type: ignore[arg-type]  # two files
