"""A user's sessions: list, copy, remove."""
