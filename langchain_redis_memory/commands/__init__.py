"""What the command ``langchain-redis-memory`` can do: one module a command, joined in `app`."""
