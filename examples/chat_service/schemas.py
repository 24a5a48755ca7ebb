"""What goes in and out of the service, and what of it is refused."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

# A path of a URL cannot carry every string: "/" parts it, and browsers take "." and ".." out of it
# even where they are percent-encoded. U+FFFD is what bytes that are no UTF-8 are read as.
_ID = r"[^\x00-\x1f\x7f-\x9f./\\\ufffd][^\x00-\x1f\x7f-\x9f/\\\ufffd]*"
_MAX_ID = 128


def is_id(text: str) -> bool:
    """Tell whether a text can be an id of this service; the memory itself takes any string."""
    fits = len(text) <= _MAX_ID and re.fullmatch(_ID, text) is not None
    return fits and text == readable(text)


def _checked_id(text: str) -> str:
    if not is_id(text):
        raise PydanticCustomError(
            "id",
            "An id does not begin with a dot, and holds no slash, backslash or control character",
        )
    return text


def readable(text: str) -> str:
    """Give a text without lone surrogates, which UTF-8 cannot hold and other programs may store."""
    return text.encode("utf-8", "replace").decode()


Id = Annotated[
    str,
    Field(min_length=1, max_length=_MAX_ID, json_schema_extra={"pattern": f"^{_ID}$"}),
    AfterValidator(_checked_id),
]


class RunRequest(BaseModel):
    """One turn: what a user says, to whom, in which conversation."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(min_length=1, max_length=8000, description="What the user says.")
    user_id: Id = Field(description="Who says it.")
    thread_id: Id = Field(description="In which conversation; a new id begins a new one.")
    agent_name: Id = Field("assistant", description="Whose memory of the user it is.")
    instructions: str = Field(
        "You are a helpful assistant.",
        max_length=4000,
        description="What the model is told before the conversation. It is not stored.",
    )


class Reply(BaseModel):
    """What the agent answered."""

    reply: str
    memory: bool = Field(
        description="Whether the agent knew the conversation, and the turn was kept."
    )


class Thread(BaseModel):
    """A conversation in a list."""

    thread_id: str
    messages: int
    last_active: datetime
    expires_in: float | None = Field(description="Seconds; null for never.")


class Threads(BaseModel):
    """A user's conversations with an agent, the one that was active last first."""

    memory: bool = Field(description="Whether Redis was there to be asked.")
    threads: list[Thread]
    next: str | None = Field(description="Where the next page begins; null after the last.")


class Message(BaseModel):
    """One message of a conversation."""

    role: Literal["user", "assistant"]
    text: str
    interrupted: bool = Field(description="Whether the reader left before its end.")


class Conversation(BaseModel):
    """What was said in a conversation, oldest first."""

    memory: bool = Field(description="Whether Redis was there to be asked.")
    messages: list[Message]


class Health(BaseModel):
    """How the memory is."""

    status: Literal["memory", "stateless", "down"]


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str
