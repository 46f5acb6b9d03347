"""Objects by key, in a folder or a bucket."""
