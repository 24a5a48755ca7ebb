"""A chat service on LangChain and Redis: an HTTP interface, and one page that uses it.

``python -m examples.chat_service`` runs it; README.md tells what is where, and how to copy it.
"""
