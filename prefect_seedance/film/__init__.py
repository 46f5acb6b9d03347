"""Join clips into one film."""
