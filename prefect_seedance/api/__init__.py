"""The Seedance API over HTTP; it knows no archive and no Prefect."""
