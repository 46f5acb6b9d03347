"""Procedural pictures for the example storyboards."""
