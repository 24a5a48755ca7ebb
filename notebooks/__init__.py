"""Notebooks that show the package, and what runs them."""
