"""What a refused submission says about the account and the model."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal

import httpx

from prefect_seedance.api.models import capabilities
from prefect_seedance.errors import (
    MODEL_UNAVAILABLE,
    ApiError,
    BlockedError,
    ContentRejectedError,
    InsufficientFundsError,
    ModelUnavailableError,
    SeedanceError,
)

_BALANCE_SECONDS = 5.0
"""Bound of reading the balance: meanwhile, the refusal is not recorded yet."""


async def explained(
    error: ApiError, *, model: str, read_balance: Callable[[], Awaitable[Decimal]]
) -> ApiError:
    """Return the error of a refused submission, as specific as can be found out for free.

    The API documents 403 for content, for access and for the balance, so the balance decides.

    Args:
        error: What the API answered.
        model: Id of the model that was asked for.
        read_balance: Reads the balance, or raises SeedanceError.
    """
    if isinstance(error, BlockedError):
        return error  # not the API's answer
    is_unknown = error.code in {httpx.codes.NOT_FOUND, httpx.codes.GONE}
    if is_unknown or (error.outcome_known and is_out_of_order(error)):
        return unavailable(model, reason=str(error), code=error.code)
    if isinstance(error, ContentRejectedError):
        with suppress(SeedanceError, TimeoutError):
            async with asyncio.timeout(_BALANCE_SECONDS):
                balance = await read_balance()
            if balance <= 0:
                message = f"{error}. The balance is {balance:,} USD; add credit to the account"
                return InsufficientFundsError(message, code=error.code)
    return error


def is_out_of_order(error: SeedanceError) -> bool:
    """Return whether an error says that the model is unavailable, whatever became of the request."""
    words = str(error).upper().replace(" ", "_")
    return isinstance(error, ApiError) and MODEL_UNAVAILABLE in words


def unavailable(model: str, *, reason: str, code: int | None = None) -> ModelUnavailableError:
    """Return the error that a model is not served, with the remedy. No model is ever replaced silently."""
    can = capabilities(model)
    if can and can.successor:
        remedy = (
            f"The successor is {can.successor}; to see what would change, run: "
            f"prefect-seedance plan STORYBOARD --model {can.successor}"
        )
    else:
        remedy = "To see the other models, run: prefect-seedance models"
    message = f"The model {model} is retired, or unknown to the API ({reason}). {remedy}"
    return ModelUnavailableError(message, code=code)
