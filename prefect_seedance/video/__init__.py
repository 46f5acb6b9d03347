"""Probe, scan and join video files with PyAV."""
