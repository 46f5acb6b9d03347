"""Make a production complete: buy missing clips, wait, archive, and report. Prefect is not needed."""
