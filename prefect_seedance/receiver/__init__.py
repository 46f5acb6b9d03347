"""The callback endpoint: record the outcome of each generation that the API reports as ended."""

from prefect_seedance.receiver.app import Receiver, create_app

__all__ = ["Receiver", "create_app"]
