import os

import pytest

from prefect_seedance.api.addresses import PUBLIC_HOSTS
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.guarded import GuardedClient
from prefect_seedance.api.proxies import check_proxies, proxy_for
from prefect_seedance.errors import SetupError

_API = "https://api.example"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        pytest.param("ALL_PROXY", "socks5://127.0.0.1:9", "httpx[socks]", id="SOCKS"),
        pytest.param("all_proxy", "socks5h://127.0.0.1:9", "httpx[socks]", id="SOCKS that resolves"),
        pytest.param("HTTPS_PROXY", "socks4://proxy:1080", "http://HOST:PORT", id="old SOCKS"),
        pytest.param("HTTPS_PROXY", "http://proxy:port", "http://HOST:PORT", id="no port"),
        pytest.param("https_proxy", "http://", "http://HOST:PORT", id="no host"),
        pytest.param("HTTPS_PROXY", "http://proxy:99999", "http://HOST:PORT", id="large port"),
        pytest.param("HTTPS_PROXY", "ftp://proxy", "http://HOST:PORT", id="another scheme"),
        pytest.param("HTTPS_PROXY", "http://[::1", "http://HOST:PORT", id="half an address"),
    ],
)
def test_unusable_proxy_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, remedy: str
) -> None:
    """A proxy that cannot be used is refused by its variable's name, also by the client."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(SetupError) as checked:
        check_proxies(_API)
    with pytest.raises(SetupError) as constructed:
        SeedanceClient("key", base_url=_API)

    assert str(checked.value) == str(constructed.value)
    assert str(checked.value).startswith(f"{variable} is ")
    assert remedy in str(checked.value)


def test_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message about a proxy does not contain its password."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:secret@proxy:1080")

    with pytest.raises(SetupError) as refusal:
        check_proxies(_API)

    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("proxy", ["proxy:3128", "http://proxy:3128", "https://me:pw@proxy"])
def test_usable_proxy_is_used(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """A proxy of HTTP is used, with or without its scheme."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    check_proxies(_API)

    found = proxy_for("https", "api.example")
    assert found is not None
    assert found.url.host == "proxy"
    assert proxy_for("http", "api.example") is None


@pytest.mark.parametrize(
    ("exempt", "host"),
    [
        pytest.param("api.example", "api.example", id="name"),
        pytest.param(".example", "api.example", id="suffix"),
        pytest.param("*.example", "api.example", id="star and suffix"),
        pytest.param("a.b, api.example", "api.example", id="second of two"),
        pytest.param("a.b api.example", "api.example", id="blank between"),
        pytest.param("10.0.0.0/8", "10.1.2.3", id="network"),
        pytest.param("[::1]", "::1", id="address in brackets"),
        pytest.param("::1/128,localhost", "localhost", id="beside a network of IPv6"),
        pytest.param("api.example:443", "api.example", id="with a port"),
        pytest.param("https://api.example", "api.example", id="with a scheme"),
        pytest.param("*", "api.example", id="all"),
    ],
)
def test_exempt_host_is_direct(monkeypatch: pytest.MonkeyPatch, exempt: str, host: str) -> None:
    """NO_PROXY exempts hosts in every form that is in use, and no entry of it is an error."""
    monkeypatch.setenv("ALL_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", exempt)

    assert proxy_for("https", host) is None
    assert (proxy_for("https", "other.test") is None) is (exempt == "*")
    SeedanceClient("key", base_url=_API)


def test_local_api_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API on this machine that is exempt works, whatever the proxy is."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")

    check_proxies("http://127.0.0.1:8000")

    with pytest.raises(SetupError):
        check_proxies(_API)


async def test_results_are_read_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client for files is made although a proxy is unusable, because the file's host may be exempt."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    async with GuardedClient(PUBLIC_HOSTS, timeout_seconds=1) as client:
        assert client


def test_transport_is_direct_without_proxy() -> None:
    """Without a proxy in the environment, nothing is checked."""
    check_proxies(_API)

    assert proxy_for("https", "api.example") is None
