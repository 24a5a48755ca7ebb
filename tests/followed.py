"""Steps that are watched, interrupted or repeated, and conversations to try them on."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import strategies as st
from test_codec import MESSAGES

from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.storage.steps import _take


def kill_after(memory, steps, count):
    """Follow steps as a process that is killed after so many requests; tell if it was."""
    answer = None
    with suppress(StopIteration):
        while True:
            step = steps.send(answer)
            if isinstance(step, Operation):
                if not count:
                    steps.close()
                    return True
                count -= 1
            answer = _take(memory._connection, step)
    return False


def repeat_each(memory, steps):
    """Follow steps of which each request loses its answer once, and is sent again."""
    return watch(memory, steps, lambda step: _take(memory._connection, step))


def watch(memory, steps, look):
    """Follow steps, and let somebody do something before each request."""
    answer = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return end.value
        if isinstance(step, Operation):
            look(step)
        answer = _take(memory._connection, step)


@st.composite
def conversations(draw):
    """Any few messages; not a list of strategies, whose `repr` is too large for hypothesis."""
    return [draw(MESSAGES) for _ in range(draw(st.integers(1, 3)))]
