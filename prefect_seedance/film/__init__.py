"""Join clips to one film."""
