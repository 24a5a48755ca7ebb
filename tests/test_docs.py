"""The documentation holds what it says that it holds: every name, error, promise and page."""

from __future__ import annotations

import re
import runpy
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from raised import all_said

import langchain_redis_memory as package
from langchain_redis_memory import RedisMemoryError, errors
from langchain_redis_memory.commands.app import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")]
FAQ = (DOCS / "faq.md").read_text()
FEW_WORDS = 10
"""Letters below which a form of the FAQ is for the very text alone, since it would fit all."""


@cache
def forms():
    """Give what the FAQ says that errors say, by the section of their class."""
    _, _, listed = FAQ.partition("\n## Errors, and what to do\n")
    found = {}
    for section in re.split(r"^### ", listed, flags=re.MULTILINE)[1:]:
        kind = section.split("\n", 1)[0].strip("`")
        cells = re.findall(r"^\| (.*?) \| .*\|$", section, re.MULTILINE)
        spans = [span for cell in cells for span in re.findall("`([^`]+)`", cell)]
        intro = re.findall("^It says `([^`]+)`", section, re.MULTILINE)
        found[kind] = [*spans, *intro]
    return found


def section_of(error):
    return error if hasattr(errors, error) else "ConfigurationError"


def fits(form, text):
    if sum(map(str.isalpha, form)) < FEW_WORDS:
        return form == text
    pattern = ".*".join(map(re.escape, form.split("…")))
    return re.fullmatch(pattern, text, re.DOTALL) is not None


def forms_for(error):
    if error in ("NotImplementedError", "AttributeError"):
        return forms()["Python's own"]
    return forms()[section_of(error)]


def test_each_error_class_has_its_section_in_the_faq():
    """Under its own name."""
    kinds = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, RedisMemoryError)
    }
    assert kinds <= forms().keys()


def test_each_message_stands_in_the_faq():
    """With what to do; a message that is new or was reworded asks for its row."""
    missing = [
        said for said in all_said() if not any(fits(f, said.text) for f in forms_for(said.error))
    ]
    assert not missing, "\n".join(f"{s.error} of {s.place} says: {s.text}" for s in missing)


def test_nothing_stands_in_the_faq_that_nobody_says():
    """A row whose message has gone goes with it."""
    for section, known in forms().items():
        for form in known:
            said = [s.text for s in all_said() if form in forms_for(s.error)]
            assert form.endswith("Error") or any(fits(form, text) for text in said), (section, form)


def test_each_public_name_stands_in_the_reference():
    """Once, at the module that it comes from; what it is made of may stand there as well."""
    pages = [page.read_text() for page in (DOCS / "reference").glob("*.md")]
    shown = re.findall(r"^::: ([\w.]+)$", "\n".join(pages), re.MULTILINE)
    homes = {name: f"{package.__name__}.{home}.{name}" for name, home in package._HOMES.items()}
    assert sorted(set(shown)) == sorted(shown)
    assert set(homes.values()) <= set(shown)
    assert set(homes) == set(package.__all__) - {"__version__"}


def test_each_public_name_stands_in_the_list_of_the_reference():
    """So that a reader finds the page."""
    listed = (DOCS / "reference" / "index.md").read_text()
    for name in package.__all__:
        assert f"`{name}`" in listed or issubclass(getattr(package, name), RedisMemoryError), name


def functions_of(name):
    return set(re.findall(r"def (test_\w+)", (ROOT / "tests" / name).read_text()))


def test_each_promise_names_tests_that_are_there():
    """Files, and the functions in them; a promise without a test is none."""
    page, _, _ = (DOCS / "promises.md").read_text().partition("\n## What is not promised\n")
    for section in page.split("\n## ")[1:]:
        assert "](../tests/test_" in section, section.partition("\n")[0]
    for line in page.splitlines():
        files = re.findall(r"\[(test_\w+\.py)\]\(\.\./tests/(test_\w+\.py)\)", line)
        assert all(shown == file for shown, file in files), line
        there = set().union(*(functions_of(file) for _, file in files))
        assert set(re.findall(r"`(test_\w+)`", line)) <= there, line


def test_each_promise_of_the_architecture_has_its_tests():
    """By the same words."""
    _, _, promised = (DOCS / "architecture.md").read_text().partition("\n## The promises\n")
    promised = promised.partition("\n## ")[0]
    titles = re.findall(r"^\*\*([^*]+?)\.?\*\*", promised, re.MULTILINE)
    held = (DOCS / "promises.md").read_text().replace("\n", " ")
    assert len(titles) > 10
    for title in titles:
        assert " ".join(title.split()) in held, title


def test_each_command_has_its_place_on_the_page():
    """In a heading of its own, or of a few."""
    headings = re.findall(r"^## (.*)$", (DOCS / "command.md").read_text(), re.MULTILINE)
    groups = [group.name for group in app.registered_groups]
    commands = [command.name for command in app.registered_commands]
    assert {*groups, *commands} <= set(", ".join(headings).split(", "))


def test_each_page_is_reached_from_the_menu():
    """A page that only its address opens is lost."""
    menu = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    for page in DOCS.rglob("*.md"):
        assert re.search(rf"[ #].*\b{page.relative_to(DOCS)}$", menu, re.MULTILINE), page


def test_the_site_is_built_strictly():
    """Which mkdocs forgets when it is told to be quiet."""
    assert "mkdocs build --strict\n" in (ROOT / "Makefile").read_text()
    assert "\nmake docs\n" in (ROOT / ".ci" / "run").read_text()


@pytest.fixture(scope="module")
def hooks():
    return runpy.run_path(str(DOCS / "hooks.py"))


@pytest.mark.parametrize(
    ("repo_url", "shown"),
    [
        ("", "See `raised.py`, [turns](../turns.md)."),
        (
            "https://git.test/r/",
            "See [raised.py](https://git.test/r/blob/main/tests/raised.py), [turns](../turns.md).",
        ),
    ],
)
def test_links_out_of_the_pages_lead_to_the_repository(hooks, repo_url, shown):
    """Or are no links, as long as it has no address; those within the pages stay."""
    page = SimpleNamespace(parent=object(), file=SimpleNamespace(src_uri="reference/index.md"))
    config = SimpleNamespace(docs_dir=str(DOCS), repo_url=repo_url)
    text = "See [raised.py](../../tests/raised.py), [turns](../turns.md)."
    assert hooks["on_page_markdown"](text, page=page, config=config) == shown


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ('<img src="https://cdn.example/x.png">', True),
        ("<script defer src=//cdn.example/x.js></script>", True),
        ('<img src="../images/turn.svg"><a href="https://redis.io/">Redis</a>', False),
    ],
)
def test_a_page_that_fetches_from_elsewhere_is_told(hooks, tmp_path, caplog, tag, told):
    """As a warning, of which a strict build fails; links that a reader may follow are none."""
    (tmp_path / "index.html").write_text(tag)
    hooks["on_post_build"](config=SimpleNamespace(site_dir=str(tmp_path)))
    assert bool(caplog.records) == told


def test_pictures_fetch_nothing():
    """Such as fonts, which whoever reads them offline would miss."""
    elsewhere = re.compile(r"url\(['\"]?(?!#)|@import|href=['\"](?!#)")
    for picture in (DOCS / "images").rglob("*.svg"):
        assert not elsewhere.search(picture.read_text()), picture


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_elsewhere_are_well_formed(page):
    """Encrypted, to a host by name; `make links` asks whether they lead anywhere."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for url in re.findall(r"\bhttps?:[^\s)>\"|]+", text):
        parts = urlsplit(url.rstrip(".,;:"))
        local = parts.hostname in ("127.0.0.1", "localhost")
        assert local or (parts.scheme == "https" and "." in (parts.hostname or "")), url
