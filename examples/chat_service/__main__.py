"""Runs the service from the command line."""

import argparse
import os
from pathlib import Path

import uvicorn

from .app import create_app
from .memory import DIRECTORY, open_memory
from .model import load_model

_SECONDS_TO_FINISH = 5
"""How long a service that is told to stop goes on with what it is answering."""
_SECONDS_TO_KEEP_ALIVE = 75
"""How long a connection may be idle: longer than clients and proxies keep theirs (httpx 5 s, nginx
and AWS's load balancers 60 s). Of two that are equal, the service may end one that is about to be
used; the request is lost then."""


def main() -> None:
    """Read the options, and serve until stopped."""
    parser = _parser()
    chosen = parser.parse_args()
    try:
        model = load_model(chosen.model, delay=chosen.delay)
        memory = open_memory(
            chosen.url,
            directory=chosen.directory,
            secrets_dir=chosen.secrets_dir,
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
        timeout_keep_alive=_SECONDS_TO_KEEP_ALIVE,
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
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--url",
        help="a Redis server, such as redis://localhost:6379/0 (default: what REDIS__... says in "
        "the environment or in .env, or else an embedded server)",
    )
    place.add_argument(
        "--directory",
        type=Path,
        help=f"an embedded server that keeps its data here (default: ./{DIRECTORY})",
    )
    parser.add_argument(
        "--secrets-dir",
        type=Path,
        default=os.environ.get("SECRETS_DIR") or None,
        help="a directory with a file for each variable, such as redis__password "
        "(default: $SECRETS_DIR)",
    )
    parser.add_argument(
        "--on-unavailable",
        choices=["stateless", "error"],
        help="while Redis is away: answer without memory, or refuse "
        "(default: $MEMORY__ON_UNAVAILABLE, or stateless)",
    )
    parser.add_argument(
        "--deadline",
        type=float,
        help="seconds that Redis has for an answer (default: $MEMORY__RETRY__DEADLINE, or 2)",
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
