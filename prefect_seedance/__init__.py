"""Seedance 1.5 Pro video generation as Prefect flows: pay once, lose nothing."""

__version__ = "0.1.0"
