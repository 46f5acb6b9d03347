"""What clips cost."""

from decimal import Decimal


def cost(billed_seconds: int, *, price_per_second: Decimal) -> Decimal:
    """Return what seconds of video cost, in the currency of the price.

    The price is the caller's to know: it depends on the account, and the API does not tell it.
    """
    return billed_seconds * price_per_second
