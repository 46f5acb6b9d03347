import pytest

from prefect_seedance.api.signatures import unsigned

_V4 = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F20261127&X-Amz-Date=20261127T100000Z"
_HEX = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        pytest.param(f"{_V4}&X-Amz-Expires=60&X-Amz-Signature={_HEX}&x-id=GetObject", "", id="S3"),
        pytest.param(f"versionId=7&{_V4}&X-Amz-Signature={_HEX}", "versionId=7", id="S3 with a version"),
        pytest.param("AWSAccessKeyId=AK&Signature=ab%2Fc%3D&Expires=1764237600", "", id="S3 by version 2"),
        pytest.param(f"X-Goog-Algorithm=GOOG4&X-Goog-Expires=60&X-Goog-Signature={_HEX}", "", id="GCS"),
        pytest.param("GoogleAccessId=a%40b&Expires=1764237600&Signature=x", "", id="GCS by version 2"),
        pytest.param("sv=2024-11-04&se=2026-11-28T00%3A00Z&sr=b&sp=r&sig=ab%2Bc%3D", "", id="Azure"),
        pytest.param("snapshot=3&sv=2024&st=x&se=y&sr=b&sp=r&sig=z", "snapshot=3", id="Azure's snapshot"),
        pytest.param("Expires=1764237600&Signature=a~b_&Key-Pair-Id=K1", "", id="CloudFront"),
        pytest.param("Policy=eyJ&Signature=a~b_&Key-Pair-Id=K1", "", id="CloudFront with a policy"),
        pytest.param(f"w=800&fit=crop&s={_HEX}", "w=800&fit=crop", id="imgix"),
        pytest.param(f"w=800&expires=1764237600&s={_HEX}", "w=800", id="imgix that expires"),
        pytest.param(
            "x-oss-process=image/resize&OSSAccessKeyId=a&Signature=b", "x-oss-process=image/resize", id="OSS"
        ),
        pytest.param("q-sign-algorithm=sha1&q-ak=a&q-sign-time=1;2&q-signature=b", "", id="COS"),
        pytest.param(f"ex=67&is=66&hm={_HEX}", "", id="Discord"),
        pytest.param("token=eyJhbGciOiJI.eyJ1cmwiOi.c2ln", "", id="token of Supabase"),
        pytest.param("alt=media&token=01234567-89ab-cdef-0123-456789abcdef", "", id="token of Firebase"),
        pytest.param(f"token={_HEX}&expires=1764237600", "", id="token with a time"),
        pytest.param("hdnts=exp=1764237600~hmac=ab", "", id="Akamai"),
        pytest.param("w=800&s=200", "w=800&s=200", id="size, not a signature"),
        pytest.param("Signature=abc", "Signature=abc", id="signature of an unknown kind"),
        pytest.param("sig=7&v=2", "sig=7&v=2", id="sig without Azure's fields"),
        pytest.param("token=abc&expires=never", "token=abc&expires=never", id="no time"),
        pytest.param("a=1&&b=%20&A=1", "a=1&&b=%20&A=1", id="odd spelling"),
    ],
)
def test_signature_is_removed(query: str, kept: str) -> None:
    """Parameters of known signatures are removed; all others stay as they are."""
    url = "https://images.example/a%20b.png"

    assert unsigned(f"{url}?{query}") == f"{url}{'?' if kept else ''}{kept}"
    assert unsigned(f"{url}?{query}#x") == f"{url}{'?' if kept else ''}{kept}#x"


@pytest.mark.parametrize("url", ["https://e.example/a.png", "https://e.example/a.png?", "a.png", ""])
def test_plain_url_stays(url: str) -> None:
    """A URL without a signature keeps its fingerprint."""
    assert unsigned(url) == url
