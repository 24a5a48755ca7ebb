"""Which model answers."""

from importlib import import_module
from typing import cast

from langchain_core.language_models import BaseChatModel

from langchain_redis_memory import ConfigurationError, OfflineChatModel


def load_model(name: str | None, *, delay: float = 0) -> BaseChatModel:
    """Make a chat model.

    Args:
        name: What LangChain's ``init_chat_model`` takes, such as ``openai:gpt-5-mini``; None for
            the model without a network.
        delay: How long that one waits before each word, in seconds, so that one sees it come.

    Raises:
        ConfigurationError: LangChain, the provider's package, its key, or the model is not there.
    """
    if name is None:
        return OfflineChatModel(delay=delay)
    try:
        load = import_module("langchain.chat_models").init_chat_model
    except ModuleNotFoundError as error:
        raise ConfigurationError("--model needs LangChain: pip install langchain") from error
    try:
        return cast("BaseChatModel", load(name))
    except Exception as error:
        raise ConfigurationError(f"the model {name!r} cannot be used: {error}") from error
