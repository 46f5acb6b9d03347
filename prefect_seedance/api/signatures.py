"""Remove signatures from URLs: they change although the file that they give access to stays the same."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote_plus, urlsplit

_ANY: Final = re.compile(r".*", re.DOTALL)
_TIME: Final = re.compile(r"\d{9,13}|\d{4}-\d\d-\d\d.*")
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{32,}|[A-Za-z0-9_=+/ ~-]{20,}")
_SECRET: Final = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9_=+/. ~-]{24,}")
"""A long value of letters and digits, as digests, tokens and signatures have."""


@dataclass(frozen=True, kw_only=True)
class _Scheme:
    """How one kind of server signs a URL.

    Attributes:
        marks: Parameters, in lower case, that all such URLs have, with the form of their values. A parameter
            that means something else on other servers is removed only beside the others.
        names: All parameters that belong to the signature, besides the marks.
        prefix: Also of parameters that belong to it; empty if there is none.
    """

    marks: Mapping[str, re.Pattern[str]]
    names: frozenset[str] = field(default_factory=frozenset)
    prefix: str = ""

    def names_in(self, parameters: Mapping[str, str]) -> set[str]:
        """Return the parameters that belong to the signature; none if the URL is not of this kind."""
        if not all(
            name in parameters and form.fullmatch(parameters[name]) for name, form in self.marks.items()
        ):
            return set()
        return {
            name
            for name in parameters
            if name in self.marks or name in self.names or (self.prefix and name.startswith(self.prefix))
        }


def _scheme(*marks: str, names: str = "", prefix: str = "") -> _Scheme:
    return _Scheme(marks=dict.fromkeys(marks, _ANY), names=frozenset(names.split()), prefix=prefix)


_SCHEMES: Final = (
    # Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html, read 2026-11-27.
    _scheme("x-amz-signature", names="x-id", prefix="x-amz-"),
    _scheme("awsaccesskeyid", "signature", names="expires x-amz-security-token"),
    # Source: https://cloud.google.com/storage/docs/authentication/signatures, read 2026-11-27.
    _scheme("x-goog-signature", prefix="x-goog-"),
    _scheme("googleaccessid", "signature", names="expires"),
    # Source: https://learn.microsoft.com/rest/api/storageservices/create-service-sas, read 2026-11-27.
    _scheme(
        *("sig", "sv"),
        names="ss srt sr se st sp si sip spr skoid sktid skt ske sks skv saoid suoid scid sdd ses",
    ),
    # Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide, read 2026-11-27.
    _scheme("key-pair-id", "signature", names="expires policy hash-algorithm"),
    _scheme("ossaccesskeyid", "signature", names="expires security-token"),
    _scheme(
        "x-oss-signature",
        names="x-oss-signature-version x-oss-date x-oss-expires x-oss-credential x-oss-additional-headers "
        "x-oss-security-token",
    ),
    _scheme("q-signature", names="x-cos-security-token", prefix="q-"),
    _scheme("hm", "ex", "is"),
    *(_scheme(name) for name in ("hdnts", "hdnea", "__token__", "__gda__")),
    # Source: https://docs.imgix.com/setup/securing-images, read 2026-11-27.
    _Scheme(marks={"s": re.compile(r"[0-9a-f]{32}")}, names=frozenset({"expires"})),
    _Scheme(marks={"token": re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")}),
    _Scheme(marks={"alt": re.compile("media"), "token": re.compile(r"[0-9a-f-]{36}")}),
    *(
        _Scheme(marks={time: _TIME, proof: _DIGEST}, names=frozenset({"token_path", "keyid", "key_id"}))
        for time in ("expires", "exp", "expiry", "e", "se", "expire")
        for proof in ("signature", "sig", "token", "hmac", "hash", "verify", "s", "md5")
    ),
)


def unsigned(url: str) -> str:
    """Return a URL without the parameters of a signature that a known kind of server has added.

    All other parameters keep their order and spelling, because they may select another file.
    """
    head, question, rest = url.partition("?")
    if not question:
        return url
    query, hash_sign, fragment = rest.partition("#")
    parts = query.split("&")
    parameters = {_name(part): unquote_plus(part.partition("=")[2]) for part in reversed(parts)}
    signing = set().union(*(scheme.names_in(parameters) for scheme in _SCHEMES))
    if not signing:
        return url
    kept = "&".join(part for part in parts if _name(part) not in signing)
    return f"{head}{question if kept else ''}{kept}{hash_sign}{fragment}"


def looks_signed(url: str) -> bool:
    """Return whether a parameter of a URL looks like a signature, although of no kind that is known."""
    query = urlsplit(unsigned(url)).query
    return any(_SECRET.fullmatch(value) for _, value in parse_qsl(query))


def _name(part: str) -> str:
    return unquote_plus(part.partition("=")[0]).lower()
