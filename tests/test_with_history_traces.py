"""What callbacks and traces see of a runnable with history."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from wrapped import CALLS, CONFIG, FORMS, PIECES, Model, call, fail_at, spoil_key

from langchain_redis_memory.errors import StorageRejected, TurnNotSavedError


class Recorder(BaseCallbackHandler):
    """Notes the runs that begin and end."""

    run_inline = True

    def __init__(self):
        self.runs = {}

    def _start(self, name, run_id, parent_run_id, inputs):
        self.runs[run_id] = SimpleNamespace(
            name=name, parent=parent_run_id, inputs=inputs, outputs=None, error=None
        )

    def on_chain_start(self, serialized, inputs, *, run_id, parent_run_id=None, **kwargs):
        self._start(kwargs.get("name"), run_id, parent_run_id, inputs)

    def on_chat_model_start(self, serialized, messages, *, run_id, parent_run_id=None, **kwargs):
        self._start("Model", run_id, parent_run_id, messages)

    def on_chain_end(self, outputs, *, run_id, **kwargs):
        self.runs[run_id].outputs = outputs

    def on_llm_end(self, response, *, run_id, **kwargs):
        self.runs[run_id].outputs = response

    def on_chain_error(self, error, *, run_id, **kwargs):
        self.runs[run_id].error = error

    on_llm_error = on_chain_error

    def tree(self):
        """Give each run with its parent's name."""
        return [(r.name, self.runs[r.parent].name if r.parent else None) for r in self.all]

    @property
    def all(self):
        return list(self.runs.values())


WRAPPER = "RunnableWithMessageHistory"


@pytest.mark.parametrize("name", CALLS)
async def test_traces_keep_their_shape(memory, name):
    """A trace shows the wrapper, in it the reading of the history and the runnable's own run."""
    recorder = Recorder()
    chat = memory.with_history(Model(), agent="a").with_config(callbacks=[recorder])
    await call(name, chat, "hi")
    assert recorder.tree() == [(WRAPPER, None), ("load_history", WRAPPER), ("Model", WRAPPER)]
    root, load, _ = recorder.all
    assert root.inputs in ("hi", {"input": ""})  # streams tell their input at the end
    assert root.outputs.content == "Hello there"
    assert (load.inputs, load.outputs) == ("hi", [])
    assert not any(run.error for run in recorder.all)


@pytest.mark.parametrize("name", CALLS)
async def test_traces_of_a_chain_in_a_chain(memory, name):
    """Runs have the right parents when the runnable is a chain and is part of one."""
    recorder = Recorder()
    wrap, keys, value = FORMS["history key"]
    chat = memory.with_history(wrap(Model()), agent="a", **keys) | StrOutputParser()
    await call(name, chat.with_config(callbacks=[recorder]), value)
    sequence = "RunnableSequence"
    assert sorted(recorder.tree(), key=str) == sorted(
        [
            (sequence, None),
            (WRAPPER, sequence),
            ("load_history", WRAPPER),
            (sequence, WRAPPER),
            ("ChatPromptTemplate", sequence),
            ("Model", sequence),
            ("StrOutputParser", sequence),
        ],
        key=str,
    )


@pytest.mark.parametrize("name", CALLS)
async def test_traces_tell_of_errors(memory, server, name):
    """A failing runnable, read or save is on the run of the wrapper."""
    recorder = Recorder()
    config = {"callbacks": [recorder]}
    with pytest.raises(RuntimeError):
        await call(
            name, memory.with_history(Model(before=fail_at(0)), agent="a").with_config(config), "hi"
        )
    spoils = memory.with_history(Model(before=lambda _: spoil_key(server)), agent="a")
    with pytest.raises(TurnNotSavedError):
        await call(name, spoils.with_config(config), "hi")
    with pytest.raises(StorageRejected):
        await call(name, spoils.with_config(config), "hi")
    roots = [run.error for run in recorder.all if run.parent is None]
    assert [type(error) for error in roots] == [RuntimeError, TurnNotSavedError, StorageRejected]
    loads = [run.error for run in recorder.all if run.name == "load_history"]
    assert [type(error) for error in loads] == [type(None), type(None), StorageRejected]


async def test_events_name_the_runs(memory):
    """The stream of events shows the wrapper first and last, and the model's pieces in it."""
    chat = memory.with_history(Model(), agent="a")
    events = [event async for event in chat.astream_events("hi", CONFIG, version="v2")]
    named = [(event["event"], event["name"]) for event in events]
    assert named[:3] == [
        ("on_chain_start", WRAPPER),
        ("on_chain_start", "load_history"),
        ("on_chain_end", "load_history"),
    ]
    assert named[-1] == ("on_chain_end", WRAPPER)
    pieces = [e["data"]["chunk"].content for e in events if e["event"] == "on_chat_model_stream"]
    assert pieces == [piece.content for piece in PIECES]
    assert {tuple(event["parent_ids"]) for event in events if event["name"] == "Model"} == {
        (events[0]["run_id"],)
    }


def test_a_run_can_be_named(memory):
    """The caller's name for the run is used for the wrapper alone."""
    recorder = Recorder()
    memory.with_history(Model(), agent="a").invoke(
        "hi", {**CONFIG, "callbacks": [recorder], "run_name": "mine"}
    )
    assert [run.name for run in recorder.all] == ["mine", "load_history", "Model"]
