import ssl
from pathlib import Path
from typing import Any

import certifi
import pytest

from prefect_seedance.api.addresses import PUBLIC_HOSTS
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.guarded import GuardedTransport
from prefect_seedance.api.tls import tls_context


def test_clients_share_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Certificates are loaded once for all clients, and again if the environment names others."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    usual = tls_context()
    own = tmp_path / "own.pem"
    own.write_bytes(Path(certifi.where()).read_bytes().partition(b"-----END CERTIFICATE-----\n")[0])
    with own.open("ab") as file:
        file.write(b"-----END CERTIFICATE-----\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(own))

    assert tls_context() is tls_context()
    assert tls_context() is not usual
    assert len(tls_context().get_ca_certs()) == 1 < len(usual.get_ca_certs())


def test_clients_load_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of the API and of files use the shared certificates."""
    tls_context()
    loaded: list[object] = []
    create = ssl.create_default_context

    def load(**options: Any) -> ssl.SSLContext:  # noqa: ANN401 -- those of ssl
        loaded.append(options)
        return create(**options)

    monkeypatch.setattr(ssl, "create_default_context", load)

    SeedanceClient("key")
    GuardedTransport(PUBLIC_HOSTS)

    assert loaded == []
