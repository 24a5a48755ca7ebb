"""Summaries: what lies before the newest messages, as a model of the caller's tells it."""
