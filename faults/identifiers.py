"""Ids made to escape from their place in a key: each must have a conversation of its own."""

from __future__ import annotations

import uuid
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage

from faults.calls import Calls
from faults.scenario import Scale, Scenario
from faults.verdict import Outcome

ODD = (
    *("*", "?", "[a-z]", "a", "b", "a:b", "a:b:c", ":", "a:", ":b", "{x}", "x", "}{", "{", "\\*"),
    *("line\nbreak", "line\r\nbreak", "%2A", "%2a", "%", "%25", " ", "\t", "\x00", "a\x00b"),
    *("🦜🔗", "é", "e\u0301", "İ", "ﬀ", "sessions", "profile", "execution_cache", "%73essions"),
    *("*" * 10_000, "x" * 10_000, "../../etc", "-1", "(integer) 1", "$6\r\nfoobar\r\n", "'; --"),
)


def _escaping(stage: Any, flavour: str, scale: Scale) -> Outcome:
    del scale
    common = uuid.uuid4().hex
    places = [
        place
        for odd in ODD
        for place in ((common, common, odd), (common, odd, common), (odd, common, common))
    ]
    with Calls(stage.memory(), flavour) as call:
        return _each_alone(call, [call.memory.conversation(*place) for place in places])


def _each_alone(call: Calls, conversations: list[Any]) -> Outcome:
    """Say something in each, then clear one by one, and look at what is left."""
    outcome = Outcome(tried=len(conversations))
    for number, conversation in enumerate(conversations):
        call(conversation, "append", [HumanMessage(str(number)), AIMessage(f"re: {number}")])
        outcome.acknowledged += 1
    outcome.found = sum(
        _is_its_own(call, conversations, number) for number in range(len(conversations))
    )
    outcome.wrong = outcome.tried - outcome.found
    for number, conversation in enumerate(conversations):
        call(conversation, "clear")
        outcome.half += call(conversation, "count")
        # The neighbours: the same id in other places, and the next ids of the list.
        left = range(number + 1, min(number + 4, len(conversations)))
        outcome.lost += sum(not _is_its_own(call, conversations, other) for other in left)
    outcome.lost += sum(call(conversation, "count") for conversation in conversations)
    outcome.expect(f"{outcome.wrong} share a conversation", holds=not outcome.wrong)
    outcome.expect("clearing one left a part", holds=not outcome.half)
    outcome.expect("clearing one touched another", holds=not outcome.lost)
    return outcome


def _is_its_own(call: Calls, conversations: list[Any], number: int) -> bool:
    found = [message.content for message in call(conversations[number], "read").messages]
    return found == [str(number), f"re: {number}"]


SCENARIOS = [Scenario("ids made to escape, cleared one by one", _escaping, brief=("standalone",))]
