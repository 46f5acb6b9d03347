import secrets

import pytest

from prefect_seedance.clips.former import with_former_fingerprints
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.storage.store import Store
from tests.former import bought_before, signed_plan
from tests.records import archived_clip, intent_of


@pytest.fixture
def store() -> Store:
    return Store.open(f"memory://{secrets.token_hex(8)}")


def test_signature_is_not_identity() -> None:
    """A clip keeps its fingerprint when its image's URL is signed again."""
    assert signed_plan("aaaa").clips[0].fingerprint == signed_plan("bbbb").clips[0].fingerprint
    assert signed_plan("aaaa").clips[0].fingerprint != signed_plan("aaaa", take=2).clips[0].fingerprint


@pytest.mark.parametrize("signature", ["aaaa", "bbbb"], ids=["same URL", "signed again"])
async def test_former_purchase_is_found(store: Store, signature: str) -> None:
    """A clip that an older version bought keeps its former fingerprint, however its URL is signed now."""
    former = await bought_before(store, "aaaa")

    planned = await with_former_fingerprints(signed_plan(signature), store)

    assert planned.clips[0].fingerprint == former.fingerprint


async def test_another_clip_is_not_found(store: Store) -> None:
    """Another take is another clip, although all that the ledger records of its request is equal."""
    await bought_before(store, "aaaa")
    planned = signed_plan("aaaa", take=2)

    assert await with_former_fingerprints(planned, store) == planned


async def test_archived_purchase_is_preferred(store: Store) -> None:
    """Of several former purchases, the archived one is reused, or else the last one is continued."""
    first = await bought_before(store, "aaaa", hours=0)
    second = await bought_before(store, "bbbb", hours=1)

    last = await with_former_fingerprints(signed_plan("cccc"), store)
    record = archived_clip(first).model_dump_json().encode()
    await store.create(f"clips/{first.fingerprint}/clip.json", record)
    archived = await with_former_fingerprints(signed_plan("cccc"), store)

    assert last.clips[0].fingerprint == second.fingerprint
    assert archived.clips[0].fingerprint == first.fingerprint


async def test_new_purchase_counts(store: Store) -> None:
    """A clip that the ledger knows under its fingerprint keeps it."""
    await bought_before(store, "aaaa")
    planned = signed_plan("bbbb")
    assert await Ledger(store).claim(intent_of(planned.clips[0]))

    assert await with_former_fingerprints(planned, store) == planned


async def test_damaged_record_is_passed_over(store: Store) -> None:
    """An intent that cannot be read does not hide the others."""
    former = await bought_before(store, "aaaa")
    await store.put("clips/0123/attempt-001/intent.json", b"{")

    planned = await with_former_fingerprints(signed_plan("bbbb"), store)

    assert planned.clips[0].fingerprint == former.fingerprint
