"""Take the API's callbacks as hints, and record what became of the generations that they tell of."""

from prefect_seedance.receiver.app import Receiver, create_app

__all__ = ["Receiver", "create_app"]
