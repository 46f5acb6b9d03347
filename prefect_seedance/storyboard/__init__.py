"""The author's file, parsed into planned clips."""
