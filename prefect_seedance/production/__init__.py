"""Make a production complete: buy what is missing, wait, archive, and report. Prefect is not needed."""
