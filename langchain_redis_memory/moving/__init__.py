"""Conversations to and from elsewhere: export, import, adoption."""
