import secrets
from datetime import timedelta

import pytest

from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.clips.former import with_former_fingerprints
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.plan import Plan, PlannedClip, fingerprint_of, plan
from prefect_seedance.storyboard.schema import ClipRequest
from tests.records import archived_clip, intent_of

_URL = "https://b.s3.amazonaws.com/a.png"
_LOCAL = SourceImage(source="/b.png", sha256="0" * 64, format="PNG", width=16, height=9)


@pytest.fixture
def store() -> Store:
    return Store.open(f"memory://{secrets.token_hex(8)}")


def _signed(signature: str) -> SourceImage:
    return SourceImage.from_url(f"{_URL}?X-Amz-Date=20261127T100000Z&X-Amz-Signature={signature}")


def _plan(signature: str, *, take: int = 1) -> Plan:
    request = ClipRequest(
        name="a → b",
        prompt="slow dolly in",
        images=(_signed(signature), _LOCAL),
        settings=ClipSettings(),
        take=take,
    )
    return plan([request], title="Case")


async def _bought_before(store: Store, signature: str, *, hours: int = 0) -> PlannedClip:
    """Record a purchase as version 0.1 did, and return the clip with its former fingerprint."""
    planned = _plan(signature)
    (clip,) = planned.clips
    identities = [clip.images[0].source, clip.images[1].identity]
    former = clip.model_copy(update={"fingerprint": fingerprint_of(clip, identities, model=planned.model)})
    intent = intent_of(former)
    recorded = intent.request.input.model_copy(
        update={"image_urls": (clip.images[0].source, "https://hosted.example/b.png?sig=1")}
    )
    request = intent.request.model_copy(update={"input": recorded})
    asked_at = intent.asked_at + timedelta(hours=hours)
    assert await Ledger(store).claim(intent.model_copy(update={"request": request, "asked_at": asked_at}))
    return former


def test_signature_is_not_identity() -> None:
    """A clip keeps its fingerprint when its image's URL is signed again."""
    assert _plan("aaaa").clips[0].fingerprint == _plan("bbbb").clips[0].fingerprint
    assert _plan("aaaa").clips[0].fingerprint != _plan("aaaa", take=2).clips[0].fingerprint


@pytest.mark.parametrize("signature", ["aaaa", "bbbb"], ids=["same URL", "signed again"])
async def test_former_purchase_is_found(store: Store, signature: str) -> None:
    """A clip that an older version bought keeps its former fingerprint, however its URL is signed now."""
    former = await _bought_before(store, "aaaa")

    planned = await with_former_fingerprints(_plan(signature), store)

    assert planned.clips[0].fingerprint == former.fingerprint


async def test_another_clip_is_not_found(store: Store) -> None:
    """Another take is another clip, although all that the ledger records of its request is equal."""
    await _bought_before(store, "aaaa")
    planned = _plan("aaaa", take=2)

    assert await with_former_fingerprints(planned, store) == planned


async def test_archived_purchase_is_preferred(store: Store) -> None:
    """Of several former purchases, the archived one is reused, or else the last one is continued."""
    first = await _bought_before(store, "aaaa", hours=0)
    second = await _bought_before(store, "bbbb", hours=1)

    last = await with_former_fingerprints(_plan("cccc"), store)
    record = archived_clip(first).model_dump_json().encode()
    await store.create(f"clips/{first.fingerprint}/clip.json", record)
    archived = await with_former_fingerprints(_plan("cccc"), store)

    assert last.clips[0].fingerprint == second.fingerprint
    assert archived.clips[0].fingerprint == first.fingerprint


async def test_new_purchase_counts(store: Store) -> None:
    """A clip that the ledger knows under its fingerprint keeps it."""
    await _bought_before(store, "aaaa")
    planned = _plan("bbbb")
    assert await Ledger(store).claim(intent_of(planned.clips[0]))

    assert await with_former_fingerprints(planned, store) == planned


async def test_damaged_record_is_passed_over(store: Store) -> None:
    """An intent that cannot be read does not hide the others."""
    former = await _bought_before(store, "aaaa")
    await store.put("clips/0123/attempt-001/intent.json", b"{")

    planned = await with_former_fingerprints(_plan("bbbb"), store)

    assert planned.clips[0].fingerprint == former.fingerprint
