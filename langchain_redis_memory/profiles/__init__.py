"""Profiles: what is known of a user."""
