"""The notebooks as they are committed; `make check-notebooks` runs them."""

from __future__ import annotations

import ast
import copy
import json
import re
from pathlib import Path

import pytest

from notebooks.outputs import differences

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 500_000
# What a path of somebody's machine begins with; what is in /tmp belongs to no one.
OWN_PATHS = re.compile(
    r"/(?:root|home|Users|work|usr|opt|var/folders)/|site-packages|/tmp/(?!memory/)"
)


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    """Each notebook's path."""
    return request.param


@pytest.fixture
def notebook(path):
    """Each notebook."""
    return json.loads(path.read_text(encoding="utf-8"))


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source(cell):
    return "".join(cell["source"])


def shows(cell):
    """Tell whether a cell prints, plots, or ends with what it shows."""
    # A magic is no Python.
    text = re.sub(r"^%.*$", "", source(cell), flags=re.MULTILINE)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    body = compile(text, "cell", "exec", flags | ast.PyCF_ONLY_AST).body
    prints = re.search(r"^(?: {4})?(?:print|plt\.show)\(", text, flags=re.MULTILINE)
    last = body[-1].value if isinstance(body[-1], ast.Expr) else None
    return bool(prints) or (last is not None and not isinstance(last, ast.Call | ast.Await))


def test_was_run_from_top_to_bottom(notebook):
    """The cells were run once each, in their order, in a fresh kernel."""
    counts = [cell["execution_count"] for cell in code(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    results = [(cell, out) for cell in code(notebook) for out in cell["outputs"]]
    for cell, output in results:
        assert output.get("execution_count", cell["execution_count"]) == cell["execution_count"]


def test_has_its_outputs(notebook):
    """What is to be seen is there for readers who run nothing."""
    assert [source(cell) for cell in code(notebook) if shows(cell) and not cell["outputs"]] == []
    plots = [cell for cell in code(notebook) if "plt.show()" in source(cell)]
    assert [cell for cell in plots if "image/png" not in json.dumps(cell["outputs"])] == []


def test_shows_no_error_and_no_warning(notebook):
    """Errors that are meant to be seen are caught and printed, or their cells are tagged."""
    for cell in code(notebook):
        kinds = {output["output_type"] for output in cell["outputs"]}
        assert "error" not in kinds or "raises-exception" in cell["metadata"].get("tags", [])
        assert "stderr" not in {output.get("name") for output in cell["outputs"]}


def test_tells_nothing_of_the_machine(notebook):
    """Neither paths of it, nor when it ran a cell, nor with which Python."""
    for cell in code(notebook):
        for output in cell["outputs"]:
            shown = dict(output.get("data", {}))
            shown.pop("image/png", None)
            assert not OWN_PATHS.search(json.dumps([shown, output.get("text")]))
        assert cell["metadata"].keys() <= {"tags"}
    assert notebook["metadata"]["language_info"] == {"name": "python"}


def test_is_easy_to_load(path):
    """It is no large file."""
    assert path.stat().st_size < MOST_BYTES


def test_begins_and_ends(notebook):
    """It begins with what it is about and how to install it, and ends with cleaning up."""
    assert source(notebook["cells"][0]).startswith("# ")
    first, *_, last = map(source, code(notebook))
    assert re.match(r'# .*:\n# %pip install "langchain-redis-memory\[embedded', first)
    assert "close()" in last
    assert last.endswith(("directory.cleanup()", "shutil.rmtree(directory)"))


def test_links_lead_somewhere(path, notebook):
    """Links to pages and to other notebooks name files that are there."""
    texts = [source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    links = re.findall(r"\]\(([^)#]+)", "\n".join(texts))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "docs/notebooks.md"])
def test_are_listed(page):
    """Each notebook is listed once, and no other."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\([^)]*notebooks/(\w+\.ipynb)\)", text)) == [p.name for p in PATHS]


def test_the_page_has_their_titles(path, notebook):
    """The page of notebooks names each by its own title."""
    title = source(notebook["cells"][0]).partition("\n")[0].removeprefix("# ").partition(":")[0]
    text = (ROOT / "docs/notebooks.md").read_text(encoding="utf-8")
    assert re.search(rf"\[{re.escape(title)}\]\([^)]*{path.name}\)", text)


def test_a_changed_output_is_told(notebook):
    """With the number of its cell, the old line and the new one."""
    changed = copy.deepcopy(notebook)
    cell = next(c for c in code(changed) if any("text" in out for out in c["outputs"]))
    output = next(out for out in cell["outputs"] if "text" in out)
    old = "".join(output["text"]).splitlines()[0]
    output["text"] = ["".join(output["text"]).replace(old, "something else", 1)]
    told = differences(notebook, changed)
    assert told[0] == f"cell [{cell['execution_count']}]"
    assert "+something else" in told
    assert differences(notebook, notebook) == []


def test_what_always_differs_is_not_told():
    """Times, durations, ids and addresses, and into how many pieces a stream was cut."""

    def shown(*texts):
        outputs = [{"output_type": "stream", "name": "stdout", "text": [text]} for text in texts]
        return {"cells": [{"cell_type": "code", "outputs": outputs}]}

    one, other = "01a1fc6d-7dda-727f-9157-a32aa437269d", "11a1fc6d-7dda-727f-9157-a32aa437269d"
    old = shown(f"2026-11-21 12:46, 6 days 23 h <a at 0x7f3a5c> {one}\n")
    new = shown("2026-11-22 08:01:02.5, 7 days <a at ", f"0x7f3a6d> {other}\n")
    assert differences(old, new) == []
    assert differences(old, shown("2026-11-21 12:46, 6 days 23 h <b\n"))


def test_plots_and_missing_outputs_are_told():
    """A picture is compared by its kind alone, and its absence is a difference."""
    plot = {"output_type": "display_data", "data": {"image/png": "aGk=", "text/plain": "<Figure>"}}
    other = {"output_type": "display_data", "data": {"image/png": "aG8=", "text/plain": "<Figure>"}}

    def holding(*outputs):
        return {"cells": [{"cell_type": "code", "outputs": list(outputs)}]}

    assert differences(holding(plot), holding(other)) == []
    assert differences(holding(plot), holding())


def test_another_look_is_told_on_request():
    """HTML is what a notebook is written anew for, and no failure of a check."""

    def looking(html):
        data = {"text/html": html, "text/plain": "the same"}
        return {"cells": [{"cell_type": "code", "outputs": [{"output_type": "x", "data": data}]}]}

    assert differences(looking("<b>a</b>"), looking("<i>a</i>")) == []
    assert "+<i>a</i>" in differences(looking("<b>a</b>"), looking("<i>a</i>"), looks=True)
