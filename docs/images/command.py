"""Writes what the command prints into docs/command.md, and pictures of it beside this file.

Run it from the top of the checkout, with the conversations of ../shared/data beside it::

    python docs/images/command.py

Each block ``console`` of the page is run, a ``$`` a command, and each picture shows the commands of
its name in `PICTURES`; in a terminal of 80 columns.
"""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "command.md"
DATA = ROOT / "../shared/data/airline_conversations.jsonl"
HOME = "/home/me"
NAME = "langchain-redis-memory"
BLOCK = re.compile(r"(?<=```console\n)(.*?)(?=```)", re.DOTALL)
ANSI = re.compile(r"\x1b\[[\d;?]*[a-zA-Z]")
BAR = re.compile(r"\W*(Adopting|Importing|Exporting|Removing|Looking through all keys)\b")
CHAT = "My name is Alice.\nWhat is my name?\n/quit\n"
"""What is said in the chat, which shows it itself when it is piped."""

PICTURES = {
    "overview": [f"{NAME} --help"],
    "sessions": [f"{NAME} sessions airline mia_li_3668"],
    "show": [f"{NAME} show airline mia_li_3668 task00-trial0 --last 10"],
    "forget": [f"{NAME} forget mia_li_3668"],
    "stats": [f"{NAME} stats --top 3"],
    "doctor": [f"{NAME} doctor"],
}


def prepare(home: Path) -> None:
    """Write the recorded conversations as they are adopted, each with the customer it is of."""
    with DATA.open(encoding="utf-8") as lines, (home / "airline.jsonl").open("w") as file:
        for line in lines:
            found = re.search(r'user_id\\": ?\\"(\w+)\\"', line)
            record = json.loads(line) | {"user": found[1] if found else "guest"}
            file.write(json.dumps(record) + "\n")


def run(command: str, home: Path, *, colours: bool) -> str:
    """Run a command at a terminal, and give what shows."""
    _, *arguments = shlex.split(command)
    answers = "forget" in arguments and "--yes" not in arguments
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "langchain_redis_memory", *arguments],
        stdin=subprocess.PIPE if "chat" in arguments else theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(home),
            "COLUMNS": "80",
            "TERM": "xterm-256color",
            "REDIS__EMBEDDED": "memory",
            "EDITOR": "sed -i s/aisle/window/",
            **({} if colours else {"NO_COLOR": "1"}),
        },
    )
    os.close(theirs)
    if process.stdin:
        process.stdin.write(CHAT.encode())
        process.stdin.close()
    elif answers:
        os.write(ours, b"y\n")
    shown = b""
    while True:
        try:
            read = os.read(ours, 4096)
        except OSError:  # nobody is at the other end any more
            break
        shown += read
    process.wait()
    os.close(ours)
    text = shown.decode().replace("\r\n", "\n").replace(str(home), HOME)
    if answers:  # what is typed ahead shows at once, and a person answers the question
        text = text.removeprefix("y\n").replace("[y/N] ", "[y/N] y\n")
    text = "".join(line for line in text.splitlines(keepends=True) if not is_bar(line))
    text = text if colours else ANSI.sub("", text)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n") + "\n"


def is_bar(line: str) -> bool:
    """Tell whether a line is a bar, which the terminal has wiped away again."""
    plain = ANSI.sub("", line).strip()
    return bool(BAR.match(plain)) or (not plain and "\x1b[2K" in line)


def picture(name: str, commands: list[str], home: Path) -> None:
    """Draw the terminal."""
    console = Console(width=80, record=True, file=io.StringIO(), color_system="truecolor")
    for command in commands:
        console.print(Text.assemble(("$ ", "bold green"), command))
        console.print(Text.from_ansi(run(command, home, colours=True)))
    svg = console.export_svg(title=NAME, unique_id=name)
    # Whoever reads it may be offline, and its fonts are to be had nowhere else.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    (ROOT / "docs/images/command" / f"{name}.svg").write_text(
        "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
    )


def block(found: re.Match[str], home: Path) -> str:
    """Run a block's commands, and give the block with what they print."""
    commands = re.findall(r"^\$ (.*)$", found[0], re.MULTILINE)
    shown = [f"$ {command}\n{run(command, home, colours=False)}" for command in commands]
    return "\n".join(shown).replace("\n\n$", "\n$") if len(shown) > 1 else "".join(shown)


def main() -> None:
    """Write page and pictures."""
    with tempfile.TemporaryDirectory(prefix="lrm-") as directory:
        home = Path(directory)
        prepare(home)
        page = PAGE.read_text()
        PAGE.write_text(BLOCK.sub(lambda found: block(found, home), page))
        run(f"{NAME} adopt openai airline.jsonl --agent airline", home, colours=False)
        for name, commands in PICTURES.items():
            picture(name, commands, home)


if __name__ == "__main__":
    main()
