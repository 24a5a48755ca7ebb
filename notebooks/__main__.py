"""Runs each notebook from top to bottom in a kernel of its own, and writes its outputs.

``python -m notebooks`` is what ``make notebooks`` runs. With ``--check`` nothing is written, and
text that differs from what is committed is a failure. A notebook that shows what it showed before
stays as it is, plots and all.
"""

from __future__ import annotations

import argparse
import copy
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from notebooks.outputs import differences, sources

if TYPE_CHECKING:
    from nbformat import NotebookNode

FOLDER = Path(__file__).parent
CELL_SECONDS = 120
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def main() -> None:
    """Read the command line, and run what it names."""
    parser = argparse.ArgumentParser(prog="python -m notebooks", description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="which ones (all)")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    options = parser.parse_args()
    paths = options.notebooks or sorted(FOLDER.glob("*.ipynb"))
    if not paths:
        parser.error(f"there are no notebooks in {FOLDER}")
    failed = False
    for path in paths:
        began = time.perf_counter()
        problems = refresh(path, write=not options.check)
        print(f"{time.perf_counter() - began:4.0f} s  {path.name}", *problems, sep="\n  ")
        failed = failed or bool(problems)
    sys.exit(failed)


def refresh(path: Path, *, write: bool) -> list[str]:
    """Run a notebook, and write its outputs if they are to be written and say something new.

    Returns:
        What is wrong with it: an error, what it left behind, and without `write` where its outputs
        differ from those that are committed.
    """
    committed = nbformat.read(path, as_version=4)
    try:
        run, left = execute(committed)
    except CellExecutionError as error:
        return [_COLOUR.sub("", str(error))]
    changed = differences(committed, run, looks=write)
    if write and (changed or sources(committed) != sources(run) or not _is_whole(committed)):
        nbformat.write(run, path)
    return left if write else left + changed


def execute(notebook: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """Run a copy of a notebook in an empty folder, where all temporary files go too.

    Returns:
        The copy with its outputs, and what it left in the folder.
    """
    run = copy.deepcopy(notebook)
    with tempfile.TemporaryDirectory(prefix="nb-", ignore_cleanup_errors=True) as folder:
        client = NotebookClient(
            run,
            timeout=CELL_SECONDS,
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],  # it warns of its own transport
            resources={"metadata": {"path": folder}},
        )
        client.execute(env=os.environ | {"TMPDIR": folder})
        left = [f"left behind: {path.name}" for path in Path(folder).iterdir()]
        text = _with_plain_paths(nbformat.writes(run), folder)
    run = nbformat.reads(text, as_version=4)
    # Neither the version of Python nor that of an editor.
    run.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    return run, left


def _with_plain_paths(text: str, folder: str) -> str:
    """Replace the temporary folder, and what `tempfile` puts behind a name in it."""
    for name in (os.path.realpath(folder), folder):
        text = re.sub(rf"{re.escape(name)}(?:/(\w+)-\w+)?", r"/tmp/\1", text)
    return text


def _is_whole(notebook: NotebookNode) -> bool:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


if __name__ == "__main__":
    main()
