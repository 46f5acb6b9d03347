"""Run the steps of a production as Prefect tasks."""
