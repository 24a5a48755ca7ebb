"""Environments for peers that need other packages than we do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".venv-peers"
REQUIREMENTS = {
    "llama_index": ("llama-index-storage-chat-store-redis>=0.6", "hiredis"),
    "openai_agents": ("openai-agents[redis]>=0.6", "hiredis"),
}
"""What is installed for each; with hiredis, which all others have too."""
_PATIENCE = 300
"""Seconds that an installation may take."""


class NotInstalledError(Exception):
    """A peer has no environment."""


def find(peer: str) -> str:
    """Give the interpreter of an environment that is there.

    Raises:
        NotInstalledError: It is not.
    """
    if not _stamp(peer).exists() or _stamp(peer).read_text() != _wanted(peer):
        raise NotInstalledError("not installed; `make bench` installs it")
    return str(_python(peer))


def build(peer: str) -> str:
    """Make the environment if it is not there, and give its interpreter.

    Raises:
        NotInstalledError: The installation failed.
    """
    try:
        return find(peer)
    except NotInstalledError:
        pass
    print(f"installing {', '.join(REQUIREMENTS[peer])} into {FOLDER / peer}", flush=True)
    pip = (str(_python(peer)), "-m", "pip", "install", "--quiet", "--upgrade")
    try:
        _run(sys.executable, "-m", "venv", "--clear", str(FOLDER / peer))
        _run(*pip, *REQUIREMENTS[peer])
    except (subprocess.SubprocessError, OSError) as error:
        raise NotInstalledError(f"its installation failed: {_last_line(error)}") from error
    _stamp(peer).write_text(_wanted(peer))
    return str(_python(peer))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE)


def _last_line(error: Exception) -> str:
    told = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    return told[-1] if told else type(error).__name__


def _python(peer: str) -> Path:
    return FOLDER / peer / "bin" / "python"


def _stamp(peer: str) -> Path:
    return FOLDER / peer / "installed.txt"


def _wanted(peer: str) -> str:
    return "\n".join(REQUIREMENTS[peer])
