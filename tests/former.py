"""Clips at signed URLs, and their purchases as version 0.1 recorded them."""

from datetime import timedelta

from prefect_seedance.api.wire import ClipSettings
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.plan import Plan, PlannedClip, fingerprint_of, plan
from prefect_seedance.storyboard.schema import ClipRequest
from tests.records import intent_of

_URL = "https://b.s3.amazonaws.com/a.png"
_LOCAL = SourceImage(source="/b.png", sha256="0" * 64, format="PNG", width=16, height=9)


def _signed(signature: str) -> SourceImage:
    return SourceImage.from_url(f"{_URL}?X-Amz-Date=20261127T100000Z&X-Amz-Signature={signature}")


def signed_plan(signature: str, *, take: int = 1) -> Plan:
    request = ClipRequest(
        name="a → b",
        prompt="slow dolly in",
        images=(_signed(signature), _LOCAL),
        settings=ClipSettings(),
        take=take,
    )
    return plan([request], title="Case")


async def bought_before(store: Store, signature: str, *, hours: int = 0) -> PlannedClip:
    """Record a purchase as version 0.1 did, and return the clip with its former fingerprint."""
    planned = signed_plan(signature)
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
