from collections.abc import Callable

import pytest

from prefect_seedance.api.callback_urls import AttemptRef, Callbacks, Secrets
from prefect_seedance.errors import SetupError

OLD, NEW = "old-" * 8, "new-" * 8
ATTEMPT = AttemptRef("0123456789abcdef0123456789abcdef", 3)
API = "https://api.apixo.ai"


def opened(base: str, *, api: str = API, secret: str = NEW) -> Callbacks:
    return Callbacks.open(base, secret=secret, api_url=api)


def test_token_names_its_attempt() -> None:
    """A token is verified as the attempt that it was made for."""
    secrets = Secrets.parse(NEW)

    assert secrets.verify(secrets.token(ATTEMPT)) == ATTEMPT


def test_pins_the_token() -> None:
    """Tokens do not change between releases, because the API keeps callback URLs of generations in flight."""
    token = Secrets.parse(NEW).token(ATTEMPT)

    assert token == "0123456789abcdef0123456789abcdef.3.ucpfvWwijO97NVbm8sNoAUN_5EeqLD_5LsVv2Ns_HzM"


@pytest.mark.parametrize("number", [1, 999, 100_000])
def test_token_is_safe_in_paths(number: int) -> None:
    """A token consists of characters that need no quoting in a URL."""
    token = Secrets.parse(NEW).token(ATTEMPT._replace(number=number))

    assert all(character.isalnum() or character in "-_." for character in token)


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"), id="signature"),
        pytest.param(lambda token: token.replace(".3.", ".4."), id="another attempt"),
        pytest.param(lambda token: "1" + token[1:], id="another clip"),
        pytest.param(lambda token: token.replace(".3.", ".03."), id="another spelling"),
        pytest.param(lambda token: token.rpartition(".")[0], id="no signature"),
        pytest.param(lambda token: token + "\n", id="trailing newline"),
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda _: "é" * 40, id="not ASCII"),
    ],
)
def test_rejects_forged_tokens(forge: Callable[[str], str]) -> None:
    """A token that was changed in any way is rejected."""
    secrets = Secrets.parse(NEW)

    assert secrets.verify(forge(secrets.token(ATTEMPT))) is None


def test_secrets_rotate() -> None:
    """Of two secrets, both are accepted, and the first signs."""
    before, between, after = Secrets.parse(OLD), Secrets.parse(f"{NEW}, {OLD}"), Secrets.parse(NEW)

    assert between.verify(before.token(ATTEMPT)) == ATTEMPT
    assert between.token(ATTEMPT) == after.token(ATTEMPT)
    assert after.verify(before.token(ATTEMPT)) is None


def test_secrets_stay_secret() -> None:
    """A repr shows no secret."""
    assert NEW not in repr(opened("https://hooks.example.com"))


@pytest.mark.parametrize(
    ("base", "begins", "ends"),
    [
        ("https://hooks.example.com", "https://hooks.example.com/callbacks/", ""),
        ("https://example.com/seedance/", "https://example.com/seedance/callbacks/", ""),
        ("https://example.com/hook?at={token}&x=1", "https://example.com/hook?at=", "&x=1"),
    ],
)
def test_url_contains_the_token(base: str, begins: str, ends: str) -> None:
    """The token follows the base URL, or replaces its placeholder."""
    callbacks = opened(base)

    assert callbacks.url(ATTEMPT) == begins + callbacks.secrets.token(ATTEMPT) + ends


@pytest.mark.parametrize(
    "api", ["http://127.0.0.1:8765", "http://localhost:1", "http://api.localhost:1", "http://[::1]:8765"]
)
def test_loopback_may_be_unencrypted(api: str) -> None:
    """If the API is on this machine, callbacks may be unencrypted."""
    assert opened("http://127.0.0.1:8080", api=api).base == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("base", "secret", "message"),
    [
        pytest.param("http://hooks.example.com", NEW, "is not https://", id="unencrypted"),
        pytest.param("http://127.0.0.1:8080", NEW, "is not https://", id="loopback for a public API"),
        pytest.param("hooks.example.com", NEW, "is not of the form https://", id="no scheme"),
        pytest.param("https://", NEW, "is not of the form https://", id="no host"),
        pytest.param("https://a:b@hooks.example.com", NEW, "is not of the form https://", id="password"),
        pytest.param("https://hooks.example.com/?a=b", NEW, "is not of the form https://", id="query"),
        pytest.param("https://hooks.example.com/#a", NEW, "is not of the form https://", id="fragment"),
        pytest.param("https://hooks.example.com/a b", NEW, "is not of the form https://", id="space"),
        pytest.param("https://hooks.example.com", "", "Callbacks need a secret", id="no secret"),
        pytest.param("https://hooks.example.com", "abc", "could be guessed", id="short secret"),
        pytest.param("https://hooks.example.com", f"{NEW} abc", "could be guessed", id="one short secret"),
    ],
)
def test_rejects_unsafe_settings(base: str, secret: str, message: str) -> None:
    """A URL or secret that makes callbacks unsafe is rejected, and no password is shown."""
    with pytest.raises(SetupError, match=message) as refused:
        opened(base, secret=secret)

    assert "a:b" not in str(refused.value)
