"""Record and show the state of a production."""
