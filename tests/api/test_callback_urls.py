import pytest

from prefect_seedance.api.callback_urls import AttemptRef, Callbacks, Secrets
from prefect_seedance.errors import SetupError

OLD, NEW = "old-" * 8, "new-" * 8
PLACE = AttemptRef("0123456789abcdef0123456789abcdef", 3)
API = "https://api.apixo.ai"


def opened(base: str, *, api: str = API, secret: str = NEW) -> Callbacks:
    return Callbacks.open(base, secret=secret, api_url=api)


def test_token_names_its_attempt() -> None:
    """A token leads back to the attempt that it was made for."""
    secrets = Secrets.parse(NEW)

    assert secrets.place(secrets.token(PLACE)) == PLACE


@pytest.mark.parametrize("number", [1, 999, 100_000])
def test_token_is_safe_in_paths(number: int) -> None:
    """A token needs no quoting, whichever characters its signature has."""
    token = Secrets.parse(NEW).token(PLACE._replace(number=number))

    assert all(character.isalnum() or character in "-_." for character in token)


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"), id="signature"),
        pytest.param(lambda token: token.replace(".3.", ".4."), id="another attempt"),
        pytest.param(lambda token: "1" + token[1:], id="another clip"),
        pytest.param(lambda token: token.replace(".3.", ".03."), id="another spelling"),
        pytest.param(lambda token: token.rpartition(".")[0], id="no signature"),
        pytest.param(lambda token: token + "\n", id="more behind it"),
        pytest.param(lambda _: "", id="nothing"),
        pytest.param(lambda _: "é" * 40, id="not ASCII"),
    ],
)
def test_forged_token_names_nothing(forge: "type[str]") -> None:
    """Whatever is changed about a token, it is none of ours any more."""
    secrets = Secrets.parse(NEW)

    assert secrets.place(forge(secrets.token(PLACE))) is None


def test_secrets_rotate() -> None:
    """While two secrets are known, both are accepted, and the first signs."""
    before, between, after = Secrets.parse(OLD), Secrets.parse(f"{NEW}, {OLD}"), Secrets.parse(NEW)

    assert between.place(before.token(PLACE)) == PLACE
    assert between.token(PLACE) == after.token(PLACE)
    assert after.place(before.token(PLACE)) is None


def test_secrets_stay_secret() -> None:
    """No secret shows where something is printed."""
    assert NEW not in repr(opened("https://hooks.example.com"))


@pytest.mark.parametrize(
    ("base", "begins", "ends"),
    [
        ("https://hooks.example.com", "https://hooks.example.com/callbacks/", ""),
        ("https://example.com/seedance/", "https://example.com/seedance/callbacks/", ""),
        ("https://example.com/hook?at={token}&x=1", "https://example.com/hook?at=", "&x=1"),
    ],
)
def test_address_of_an_attempt(base: str, begins: str, ends: str) -> None:
    """The token stands behind the base, or where the base wants it."""
    callbacks = opened(base)

    assert callbacks.url(PLACE) == begins + callbacks.secrets.token(PLACE) + ends


@pytest.mark.parametrize("api", ["http://127.0.0.1:8765", "http://localhost:1", "http://[::1]:8765"])
def test_loopback_may_be_unencrypted(api: str) -> None:
    """With the API on this machine, callbacks need no certificate."""
    assert opened("http://127.0.0.1:8080", api=api).base == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("base", "secret", "says"),
    [
        pytest.param("http://hooks.example.com", NEW, "is not https://", id="unencrypted"),
        pytest.param("http://127.0.0.1:8080", NEW, "is not https://", id="loopback for a public API"),
        pytest.param("hooks.example.com", NEW, "is not like https://", id="no scheme"),
        pytest.param("https://", NEW, "is not like https://", id="no host"),
        pytest.param("https://a:b@hooks.example.com", NEW, "is not like https://", id="password"),
        pytest.param("https://hooks.example.com/?a=b", NEW, "is not like https://", id="query"),
        pytest.param("https://hooks.example.com/#a", NEW, "is not like https://", id="fragment"),
        pytest.param("https://hooks.example.com/a b", NEW, "is not like https://", id="space"),
        pytest.param("https://hooks.example.com", "", "Callbacks need a secret", id="no secret"),
        pytest.param("https://hooks.example.com", "abc", "could be guessed", id="short secret"),
        pytest.param("https://hooks.example.com", f"{NEW} abc", "could be guessed", id="one short secret"),
    ],
)
def test_what_is_unsafe_is_refused(base: str, secret: str, says: str) -> None:
    """An address or secret that would make callbacks unsafe is refused, and no password is repeated."""
    with pytest.raises(SetupError, match=says) as refused:
        opened(base, secret=secret)

    assert "a:b" not in str(refused.value)
