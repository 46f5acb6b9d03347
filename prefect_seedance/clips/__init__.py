"""Buy one clip once and store it."""
