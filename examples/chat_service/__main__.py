"""Runs the service from the command line."""

import argparse
import os
from pathlib import Path

import uvicorn

from .app import create_app
from .memory import open_memory
from .model import load_model

_SECONDS_TO_FINISH = 5
"""How long a service that is told to stop goes on with what it is answering."""


def main() -> None:
    """Read the options, and serve until stopped."""
    parser = _parser()
    chosen = parser.parse_args()
    try:
        model = load_model(chosen.model, delay=chosen.delay)
        memory = open_memory(
            chosen.url,
            directory=chosen.directory,
            password_file=chosen.password_file,
            on_unavailable=chosen.on_unavailable,
            deadline=chosen.deadline,
        )
    except ValueError as error:  # as `ConfigurationError` is
        parser.error(str(error))
    print(f"Memory at {memory.address}, model: {chosen.model or 'offline'}", flush=True)
    uvicorn.run(
        create_app(memory, model),
        host=chosen.host,
        port=chosen.port,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.chat_service",
        description="A chat with a page of its own, whose conversations live in Redis.",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="where to listen (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    parser.add_argument(
        "--url",
        default=os.environ.get("REDIS_URL") or None,
        help="a Redis server, such as redis://localhost:6379/0 (default: $REDIS_URL, or an "
        "embedded server)",
    )
    parser.add_argument(
        "--password-file",
        type=Path,
        default=os.environ.get("REDIS_PASSWORD_FILE") or None,
        help="a file with the server's password (default: $REDIS_PASSWORD_FILE)",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("memory"),
        help="where the embedded server keeps its data (default: ./%(default)s)",
    )
    parser.add_argument(
        "--on-unavailable",
        choices=["stateless", "error"],
        default="stateless",
        help="while Redis is away: answer without memory, or refuse (default: %(default)s)",
    )
    parser.add_argument(
        "--deadline",
        type=float,
        default=2.0,
        help="seconds that Redis has for an answer (default: %(default)s)",
    )
    parser.add_argument(
        "--model",
        default=os.environ.get("CHAT_MODEL") or None,
        help="a model that LangChain's init_chat_model takes, such as openai:gpt-5-mini "
        "(default: $CHAT_MODEL, or a model without a network)",
    )
    parser.add_argument(
        "--delay",
        type=float,
        default=0.03,
        help="seconds that the model without a network takes for a word (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    main()
