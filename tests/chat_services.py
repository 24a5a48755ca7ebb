"""The chat service of the examples as a process, and what a client of it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
from servers import free_port, wait_until

ROOT = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "examples.chat_service")


def environment(**variables: str) -> dict[str, str]:
    """Give an environment for the command in any directory: of our settings these alone."""
    ours = ("REDIS_", "MEMORY_", "SECRETS_DIR", "CHAT_MODEL")
    rest = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**rest, "PYTHONPATH": str(ROOT), **variables}


class ChatService:
    """One process of the service, on a port that it has again after a restart.

    Args:
        directory: Where it runs, and its log goes.
        options: Those of its command.
        deadline: How long Redis has for an answer, in seconds; long, since the tests' machine may
            be busy, unless the test takes Redis away.
        variables: Those of its environment.
    """

    def __init__(
        self, directory: Path, *options: str, deadline: float = 60, **variables: str
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / f"chat-{self.port}.log"
        self._directory = directory
        self._command = [*COMMAND, "--port", str(self.port), "--deadline", str(deadline), *options]
        self._environment = environment(**variables)
        self.client = httpx.Client(base_url=self.url, timeout=60)
        self.start()

    def start(self) -> None:
        """Start the process and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, "the service answers")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.client.get("/openapi.json")
        except httpx.TransportError:
            return False
        return True

    def kill(self) -> None:
        """End the process at once, as a crash does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the process, and what the fixture itself opened."""
        self.client.close()
        self.kill()

    def health(self) -> str:
        """Ask how the memory is."""
        return self.client.get("/health").json()["status"]

    def run(self, prompt: str, user: str = "alice", thread: str = "t1", **more: str) -> dict:
        """Have a turn answered in one piece."""
        response = self.client.post("/run", json=turn(prompt, user, thread, **more))
        assert response.status_code == 200, response.text
        return response.json()

    @contextmanager
    def streaming(self, prompt: str, user: str = "alice", thread: str = "t1"):
        """Have a turn streamed; gives the events as they come."""
        body = turn(prompt, user, thread)
        with self.client.stream("POST", "/run/stream", json=body) as response:
            assert response.headers["content-type"].startswith("text/event-stream"), response.read()
            yield events(response.iter_lines())

    def thread(self, user: str = "alice", thread: str = "t1") -> list[tuple[str, str]]:
        """Read a conversation: who said what."""
        response = self.client.get(f"{threads_of(user)}/{thread}")
        assert response.status_code == 200, response.text
        return [(message["role"], message["text"]) for message in response.json()["messages"]]


def turn(prompt: str, user: str = "alice", thread: str = "t1", **more: str) -> dict[str, str]:
    """Make the body of a request."""
    return {"prompt": prompt, "user_id": user, "thread_id": thread, **more}


def threads_of(user: str, agent: str = "assistant") -> str:
    """Name the path of a user's conversations."""
    return f"/users/{user}/agents/{agent}/threads"


def events(lines):
    """Read server-sent events: their names and their data."""
    name = None
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)
