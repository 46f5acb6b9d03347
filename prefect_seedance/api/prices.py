"""What a second of video costs, if the models' file says so."""

from decimal import Decimal

from prefect_seedance.api.models import facts_of
from prefect_seedance.api.wire import ClipInput


def price_per_second(clip: ClipInput, *, model: str, provider: str) -> Decimal | None:
    """Return the price of the first entry that matches a clip; None if there is none."""
    found = {
        "resolution": clip.resolution,
        "sound": bool(clip.sound),
        "mode": clip.mode,
        "provider": provider,
    }
    for price in facts_of(model).prices:
        if all(getattr(price, name) in (None, value) for name, value in found.items()):
            return price.per_second
    return None
