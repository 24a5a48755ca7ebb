"""LangChain tools that keep what they give."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any, ClassVar

import pytest
from counted import Counted
from langchain_core.callbacks import StdOutCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig  # noqa: TC002 - LangChain reads the annotation
from langchain_core.tools import (
    BaseTool,
    InjectedToolArg,
    StructuredTool,
    Tool,
    ToolException,
    create_retriever_tool,
    tool,
)
from pydantic import BaseModel, PrivateAttr

from langchain_redis_memory import (
    CachedError,
    ConfigurationError,
    OfflineChatModel,
    UnstorableError,
)

calls = Counted(lambda *args, **kwargs: None)


@pytest.fixture(autouse=True)
def none_yet():
    """Count anew."""
    calls.calls = 0


@pytest.fixture
def cache(memory_here):
    """The cache of one agent."""
    return memory_here.cache("support")


class Sync:
    async def __call__(self, tool, given, config=None):
        return await asyncio.to_thread(tool.invoke, given, config)


class Async:
    async def __call__(self, tool, given, config=None):
        return await tool.ainvoke(given, config)


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def do(request):
    """Invokes a tool."""
    return request.param()


class Query(BaseModel):
    """What to search for."""

    query: str
    limit: int = 10


@tool
def search(query: str, limit: int = 10) -> str:
    """Search the web."""
    calls()
    return f"{limit} results for {query}"


@tool
async def asearch(query: str, limit: int = 10) -> str:
    """Search the web."""
    calls()
    return f"{limit} results for {query}"


@tool(args_schema=Query)
def described(query: str, limit: int) -> str:
    """Search the web."""
    calls()
    return f"{limit} results for {query}"


@tool
def traced(query: str, callbacks: Any = None) -> str:
    """Search, and hand on how the run is traced."""
    assert callbacks is not None
    calls()
    return query


def single(query: str) -> str:
    calls()
    return query.upper()


async def asingle(query: str) -> str:
    return single(query)


class Searching(BaseTool):
    """A tool of a class of its own."""

    name: str = "search"
    description: str = "Search the web."
    args_schema: Any = Query
    region: str = "eu"
    kind: ClassVar[str] = "sync"

    def _run(self, query: str, limit: int = 10, run_manager: Any = None) -> str:
        assert run_manager is not None
        calls()
        return f"{limit} results for {query} in {self.region}"


class AlsoAsync(Searching):
    """One with an async method, too."""

    async def _arun(self, query: str, limit: int = 10, run_manager: Any = None) -> str:
        return self._run(query, limit, run_manager)


class InThread(Searching):
    """One whose async method calls the other in a thread that knows nothing of it."""

    async def _arun(self, query: str, limit: int = 10, run_manager: Any = None) -> str:
        run = partial(self._run, query, limit, run_manager)
        return await asyncio.get_running_loop().run_in_executor(None, run)


TOOLS = {
    "structured": search,
    "async": asearch,
    "described": described,
    "traced": traced,
    "single": Tool(name="single", func=single, description="Shout."),
    "single, both": Tool(name="single", func=single, coroutine=asingle, description="Shout."),
    "both": StructuredTool.from_function(single, asingle, description="Shout."),
    "class": Searching(),
    "class, both": AlsoAsync(),
    "class, in a thread": InThread(),
}


@pytest.mark.parametrize("name", TOOLS)
async def test_a_tool_of_any_kind_is_kept(cache, do, name):
    """It is one of the same kind, and computes once."""
    original = TOOLS[name]
    if name == "async" and isinstance(do, Sync):
        do = Async()
    kept = cache.cached(original, ttl=60)
    assert isinstance(kept, type(original))
    assert type(kept).__name__ == type(original).__name__
    assert (kept.name, kept.description) == (original.name, original.description)
    assert kept.args_schema is original.args_schema
    assert kept.args == original.args
    expected = await do(original, {"query": "redis"})
    for _ in range(3):
        assert await do(kept, {"query": "redis"}) == expected
    assert calls.calls == 2
    await do(kept, {"query": "valkey"})
    assert calls.calls == 3
    await do(original, {"query": "redis"})
    assert calls.calls == 4


async def test_a_tool_is_called_by_a_model(cache, do):
    """Each call has its own answer, with its id; defaults and schemas apply before the key."""
    kept = cache.cached(search)
    for number, args in enumerate([{"query": "a"}, {"query": "a", "limit": "10"}]):
        call = {"type": "tool_call", "name": "search", "id": f"c{number}", "args": args}
        assert await do(kept, call) == ToolMessage(
            "10 results for a", name="search", tool_call_id=f"c{number}"
        )
    assert calls.calls == 1


async def test_a_decorated_tool_and_a_tool_of_a_decorated_function(cache, do):
    """Both orders of the decorators work, and share entries."""
    above = cache.cached(ttl=60)(search)
    below = tool(cache.cached(search.func, ttl=60))
    assert below.args == search.args
    for one in (above, below):
        assert await do(one, {"query": "a"}) == "10 results for a"
    assert calls.calls == 1


# What they give


@tool(response_format="content_and_artifact")
def retrieve(query: str) -> tuple[str, list[Document]]:
    """Retrieve documents."""
    calls()
    return f"about {query}", [Document("text", metadata={"page": 1}, id="d1")]


async def test_content_and_artifact_come_back(cache, do):
    """As the message that a model's call is answered by."""
    kept = cache.cached(retrieve)
    call = {"type": "tool_call", "name": "retrieve", "id": "c", "args": {"query": "a"}}
    answers = [await do(kept, call) for _ in range(3)]
    expected = ToolMessage(
        "about a",
        name="retrieve",
        tool_call_id="c",
        artifact=[Document("text", metadata={"page": 1}, id="d1")],
    )
    assert answers == [expected] * 3
    assert calls.calls == 1


class Retriever(BaseRetriever):
    """One document for any query."""

    def _get_relevant_documents(self, query, *, run_manager):
        calls()
        return [Document(f"about {query}")]


async def test_a_retriever_tool_is_kept_by_name(cache, do):
    """What it is made of has no name of its own."""
    original = create_retriever_tool(Retriever(), "docs", "Read the docs.")
    with pytest.raises(ConfigurationError, match="pass name="):
        cache.cached(original)
    kept = cache.cached(original, name="docs")
    for _ in range(2):
        assert await do(kept, {"query": "a"}) == "about a"
    assert calls.calls == 1


@tool
def failing(query: str) -> str:
    """Fail."""
    calls()
    raise ToolException(f"no {query}")


async def test_errors_of_tools_pass(cache, do):
    """They are computed again, or kept on request; either way the tool handles them."""
    kept = cache.cached(failing)
    for number in (1, 2):
        with pytest.raises(ToolException, match="no luck"):
            await do(kept, {"query": "luck"})
        assert calls.calls == number
    kept = cache.cached(failing, errors=(ToolException,))
    with pytest.raises(ToolException, match="no luck"):
        await do(kept, {"query": "luck"})
    with pytest.raises(CachedError, match="no luck"):
        await do(kept, {"query": "luck"})
    handling = failing.model_copy(update={"handle_tool_error": True})
    kept = cache.cached(handling, errors=(ToolException,))
    assert await do(kept, {"query": "luck"}) == "no luck"
    assert calls.calls == 3


@tool
def giving_objects(query: str) -> Any:
    """Give what cannot be stored."""
    return {1, 2}


async def test_results_that_cannot_be_stored_are_told(cache, do):
    """With the name of the function."""
    with pytest.raises(UnstorableError, match="the result of giving_objects"):
        await do(cache.cached(giving_objects, strict=True), {"query": "a"})


# What LangChain injects


@tool
def configured(query: str, config: RunnableConfig) -> str:
    """Search for whom the config names."""
    calls()
    return f"{query} of {config['configurable'].get('user_id')}"


async def test_a_config_is_refused_ignored_or_looked_into(cache, do):
    """It may tell whose data the result is, so it is not left out unasked.

    That of an agent's run holds callbacks, which have no key.
    """
    alice, bob = (
        {"configurable": {"user_id": name}, "callbacks": [StdOutCallbackHandler()]}
        for name in ("alice", "bob")
    )
    with pytest.raises(ConfigurationError, match=r"'config'.*ignore=.*key="):
        await do(cache.cached(configured), {"query": "a"}, alice)
    assert calls.calls == 0
    by_user = cache.cached(
        configured, key=lambda query, config: [query, config["configurable"]["user_id"]]
    )
    for config, found in ((alice, "a of alice"), (bob, "a of bob"), (alice, "a of alice")):
        assert await do(by_user, {"query": "a"}, config) == found
    assert calls.calls == 2
    for_all = cache.cached(configured, ignore=("config",))
    assert await do(for_all, {"query": "a"}, alice) == "a of alice"
    assert await do(for_all, {"query": "a"}, bob) == "a of alice"


@tool
def injected(query: str, user: Annotated[str, InjectedToolArg]) -> str:
    """Search for a user."""
    calls()
    return f"{query} of {user}"


async def test_an_injected_argument_counts(cache, do):
    """The model does not see it."""
    kept = cache.cached(injected)
    assert kept.tool_call_schema.model_json_schema()["required"] == ["query"]
    for user in ("alice", "bob", "alice"):
        assert await do(kept, {"query": "a", "user": user}) == f"a of {user}"
    assert calls.calls == 2


# Tools of other classes


class Holding(Searching):
    """One with something that cannot be keyed."""

    _client: Any = PrivateAttr(default_factory=object)


async def test_tools_of_a_class_differ_by_what_they_hold(cache, do):
    """Fields of the class count, and what it is called and marked with."""
    config = {"query": "a"}
    kept = [
        cache.cached(Searching(region=region, tags=tags))
        for region, tags in (("eu", None), ("us", None), ("eu", ["x"]))
    ]
    found = [await do(one, config) for one in kept]
    assert found == [f"10 results for a in {region}" for region in ("eu", "us", "eu")]
    assert calls.calls == 3
    kept[0].region = "us"
    assert await do(kept[0], config) == "10 results for a in us"
    assert calls.calls == 3
    for number, more in enumerate([{"name": "other"}, {"metadata": {"user": "alice"}}]):
        await do(cache.cached(Searching(**more)), config)
        assert calls.calls == 4 + number
    with pytest.raises(ConfigurationError, match="'self'"):
        await do(cache.cached(Holding()), config)
    for _ in range(2):
        assert await do(cache.cached(Holding(), name="holding"), config) == found[0]
    assert calls.calls == 6
    assert await do(cache.cached(Holding(), ignore=("self",)), config) == found[0]


async def test_a_kept_tool_may_be_kept_again_and_copied(cache, do):
    """It waits for nobody, least of all for itself."""
    for original in (search, Searching(), AlsoAsync(), InThread()):
        twice = cache.cached(cache.cached(original)).model_copy()
        for _ in range(2):
            assert "results for a" in await asyncio.wait_for(do(twice, {"query": "a"}), 5)
    assert calls.calls == 4


@pytest.mark.parametrize("thing", [OfflineChatModel(), Query(query="a")], ids=repr)
def test_other_models_are_refused(memory, thing):
    """A chat model has a cache of its own."""
    with pytest.raises(ConfigurationError, match="cannot be cached"):
        memory.cache("support").cached(thing)
