import pytest
from pydantic import SecretStr, ValidationError

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.errors import SetupError

SECRET = "secret-" * 6


def credentials(key: str = "key", /, **fields: object) -> Credentials:
    return Credentials.model_validate({"api_key": key} | fields)


def test_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key and the base URL are read from environment variables."""
    monkeypatch.setenv("SEEDANCE_API_KEY", "key")
    monkeypatch.setenv("SEEDANCE_BASE_URL", "http://localhost:1")

    found = Credentials.from_env()

    assert (found.api_key.get_secret_value(), found.base_url) == ("key", "http://localhost:1")


@pytest.mark.parametrize("base_url", [None, ""], ids=["not set", "empty"])
def test_base_url_has_a_default(monkeypatch: pytest.MonkeyPatch, base_url: str | None) -> None:
    """Without SEEDANCE_BASE_URL, the provider's URL is used."""
    monkeypatch.setenv("SEEDANCE_API_KEY", "key")
    monkeypatch.delenv("SEEDANCE_BASE_URL", raising=False)
    if base_url is not None:
        monkeypatch.setenv("SEEDANCE_BASE_URL", base_url)

    assert Credentials.from_env().base_url == "https://api.apixo.ai"


def test_missing_key_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, the error names the argument and the environment variable."""
    monkeypatch.delenv("SEEDANCE_API_KEY", raising=False)

    with pytest.raises(SetupError, match="Set api_key of Credentials or SEEDANCE_API_KEY"):
        Credentials.from_env()


def test_repr_hides_secrets() -> None:
    """A repr shows neither the key nor the callback secret."""
    shown = repr(credentials("sk-hidden", callback_secret=SECRET))

    assert "sk-hidden" not in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("requests_per_minute", 0),
        ("generations_in_flight", -1),
        ("price_per_second", -1),
        ("provider", "cheapest"),
    ],
)
def test_rejects_invalid_limits(field: str, value: object) -> None:
    """A limit, a price or a provider out of range is an error."""
    with pytest.raises(ValidationError, match=field):
        credentials(**{field: value})


def test_clients_share_the_limit() -> None:
    """All clients of an account share its limits, but each has its own requests per minute."""
    first, second = (credentials("shared", requests_per_minute=limit).get_client() for limit in (60, 600))
    other = credentials("other").get_client()

    assert first.account is second.account
    assert other.account is not first.account
    assert (first.requests_per_minute, second.requests_per_minute) == (60, 600)


def test_hosts_have_own_limits() -> None:
    """The same key at another host is another account."""
    here = credentials("shared").get_client()
    there = credentials("shared", base_url="http://localhost:1").get_client()

    assert here.account is not there.account


def test_client_has_the_settings() -> None:
    """The client uses the credentials' host and model."""
    client = credentials(base_url="http://localhost:1", model="seedance-2").get_client(timeout_seconds=7)

    assert (client.base_url, client.model) == ("http://localhost:1", "seedance-2")
    assert client.timeout_seconds == 7


def test_no_url_means_polling() -> None:
    """Without a receiver's URL there are no callbacks, and no secret is needed."""
    assert credentials().callbacks("") is None


def test_own_secret_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials' secret signs callback URLs; the environment's is the default."""
    monkeypatch.setenv("SEEDANCE_CALLBACK_SECRET", SECRET)

    own = credentials(callback_secret="own-" * 10).callback_secrets()
    default = credentials().callback_secrets()

    assert own.values == (b"own-" * 10,)
    assert default.values == (SECRET.encode(),)


def test_weak_secrets_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks without a secret, or with a short one, are an error."""
    monkeypatch.delenv("SEEDANCE_CALLBACK_SECRET", raising=False)

    for secret in ("", "short"):
        with pytest.raises(SetupError):
            Credentials(api_key=SecretStr("key"), callback_secret=SecretStr(secret)).callbacks(
                "https://hooks.example.com"
            )


@pytest.mark.parametrize(
    "base_url", ["http://api.apixo.ai", "http://10.0.0.1:8000", "ftp://api.apixo.ai", "nonsense"]
)
def test_key_is_sent_encrypted(monkeypatch: pytest.MonkeyPatch, base_url: str) -> None:
    """A base URL without encryption is refused by the block, the environment and the option."""
    monkeypatch.setenv("SEEDANCE_API_KEY", "sk-hidden")

    with pytest.raises(ValidationError, match="https://") as invalid:
        credentials("sk-hidden", base_url=base_url)
    with pytest.raises(SetupError, match="https://"):
        Credentials.from_env(base_url=base_url)
    monkeypatch.setenv("SEEDANCE_BASE_URL", base_url)
    with pytest.raises(SetupError, match="https://"):
        Credentials.from_env()

    assert "sk-hidden" not in str(invalid.value)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_loopback_needs_no_encryption(base_url: str) -> None:
    """An API on this machine may be used without encryption, and serve its files from this machine."""
    assert credentials(base_url=base_url).host_policy.allow_loopback
    assert not credentials().host_policy.allow_loopback


def test_hosts_can_be_allowed() -> None:
    """Allowed hosts are compared without case."""
    policy = credentials(allow_hosts=["Storage.Studio.example"]).host_policy

    assert policy.allows("storage.studio.EXAMPLE.")
    assert not policy.allows("other.studio.example")
