"""An S3 endpoint for tests: moto with four corrections.

Conditional writes are atomic; moto checks first and writes later. Credentials named UNTIL followed by a Unix
time are temporary and expire at that time. Multipart uploads have their real start time instead of 2010.
Signed URLs are accepted without authentication, because moto authenticates by headers only.

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

_WRITE_LOCK = threading.Lock()
_TEMPORARY = re.compile(r"Credential=UNTIL(\d+)/")
_EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
_UPLOAD = re.compile(rb"<Upload>.*?</Upload>", re.DOTALL)
_UPLOAD_ID = re.compile(rb"<UploadId>(.*?)</UploadId>")
_INITIATED = re.compile(rb"(?<=<Initiated>).*?(?=</Initiated>)")
_STARTED: dict[bytes, bytes] = {}
_REQUEST = threading.local()
_moto = DomainDispatcherApplication(create_backend_app)
_check = ActionAuthenticatorMixin._authenticate_and_authorize_s3_action


def _check_unsigned(self: ActionAuthenticatorMixin, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 -- moto's types
    if not _REQUEST.is_signed:
        _check(self, *arguments, **options)


ActionAuthenticatorMixin._authenticate_and_authorize_s3_action = _check_unsigned  # type: ignore[method-assign]  # see above


def endpoint(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Handle one request."""
    until = _TEMPORARY.search(environ.get("HTTP_AUTHORIZATION", ""))
    if until and time.time() >= int(until[1]):
        start_response("400 Bad Request", [("Content-Type", "application/xml")])
        return [_EXPIRED]
    _REQUEST.is_signed = "X-Amz-Signature=" in environ["QUERY_STRING"]
    if "HTTP_IF_NONE_MATCH" in environ and environ["REQUEST_METHOD"] == "PUT":
        with _WRITE_LOCK:
            return list(_moto(environ, start_response))
    if "uploads" in environ["QUERY_STRING"]:
        return [_dated(b"".join(_moto(environ, start_response)))]
    return _moto(environ, start_response)  # type: ignore[no-any-return]  # moto has no types


def _dated(response: bytes) -> bytes:
    """Record when an upload starts, and insert the time into upload listings."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z").encode()
    for upload_id in _UPLOAD_ID.findall(response):
        _STARTED.setdefault(upload_id, now)

    def dated(upload: re.Match[bytes]) -> bytes:
        (upload_id,) = _UPLOAD_ID.findall(upload[0])
        return _INITIATED.sub(_STARTED[upload_id], upload[0])

    return _UPLOAD.sub(dated, response)


if __name__ == "__main__":
    port, *certificate = sys.argv[1:]
    tls = tuple(certificate) or None
    run_simple("127.0.0.1", int(port), endpoint, threaded=True, ssl_context=tls)  # type: ignore[arg-type]  # two files
