"""The certificates that requests trust."""

import functools
import os
import ssl

import httpx


def tls_context() -> ssl.SSLContext:
    """Return the TLS context that all clients share; to load its certificates takes longer than a request.

    The environment variables SSL_CERT_FILE and SSL_CERT_DIR replace them, as in httpx.
    """
    return _loaded(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.cache
def _loaded(file: str | None, folder: str | None) -> ssl.SSLContext:  # noqa: ARG001 -- httpx reads them itself
    return httpx.create_ssl_context()
