import httpx
import pytest

from prefect_seedance.api.urls import hide_users, is_loopback, parse_url, shown_url, without_secrets


@pytest.mark.parametrize(
    "url",
    [
        "", "host", "ftp://host/a", "file:///etc/passwd", "https://", "https:///path", "https://[::1", "http://x:0x1",
        "http://host:65536/", "http://0.0.0.256/", "http://xn--/", "https://host/\n",
    ],
    ids=lambda url: url.strip() or "empty",
)  # fmt: skip
def test_rejects_invalid_urls(url: str) -> None:
    """A URL that no request can be sent to is not parsed."""
    assert parse_url(url) is None


@pytest.mark.parametrize(
    "url",
    ["https://host", "http://127.0.0.1:65535/a?b#c", "https://[::1]:1/", "HTTPS://Host/ü"],
    ids=["host", "full", "ipv6", "capitals"],
)
def test_parses_urls(url: str) -> None:
    """An http(s) URL is parsed into its parts."""
    assert parse_url(url) == httpx.URL(url)


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "api.localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_recognises_loopback(host: str) -> None:
    """Names and addresses of this machine are loopback."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "", "localhost.example.com", "notlocalhost", "127.0.0.1.example.com", "10.0.0.1", "0.0.0.0", "::",  # noqa: S104 -- compared only
        "api.apixo.ai",
    ],
    ids=lambda host: host or "empty",
)  # fmt: skip
def test_other_hosts_are_remote(host: str) -> None:
    """A host that merely resembles a loopback name is not one."""
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://cdn.example/clip.mp4?sig=1", "https://cdn.example/clip.mp4"),
        ("https://cdn.example/clip.mp4#sig=1", "https://cdn.example/clip.mp4"),
        ("https://cdn.example?a=/b@c", "https://cdn.example"),
        ("https://me:pass@cdn.example/@a", "https://cdn.example/@a"),
        ("https://cdn.example/\x1b[31m\n", "https://cdn.example/\ufffd[31m\ufffd"),
        ("https://cdn.example/" + "a" * 1000, "https://cdn.example/" + "a" * 179 + "…"),
        ("", ""),
    ],
    ids=["query", "fragment", "host", "user", "control", "long", "empty"],
)
def test_shows_no_secrets(url: str, shown: str) -> None:
    """A URL is shown in one line without its user, query and fragment."""
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://me:pw@ui.example/a?token=pw#pw", "https://ui.example/a"),
        ("http://ui.example:4200", "http://ui.example:4200"),
        ("javascript:alert(1)", None),
        ("", None),
    ],
    ids=["secrets", "plain", "script", "empty"],
)
def test_link_has_no_secret(url: str, plain: str | None) -> None:
    """A link that is stored or shown is an http(s) URL without secrets."""
    assert without_secrets(url) == plain


def test_message_hides_users() -> None:
    """Messages of libraries keep their URLs, without users and passwords."""
    message = "401 for url 'http://me:p@w@ui.example/api' and https://ui.example/@me"

    assert hide_users(message) == "401 for url 'http://ui.example/api' and https://ui.example/@me"
