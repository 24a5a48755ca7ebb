"""LangChain's wrapper over its history in memory, which forgets all when the process ends."""

from __future__ import annotations

from langchain_core.chat_history import InMemoryChatMessageHistory

from benchmarks.peers.langchain import LangChainPeer


class InMemory(LangChainPeer):
    """Histories in a dict."""

    def open(self) -> None:
        """Forget all."""
        self._histories: dict[str, InMemoryChatMessageHistory] = {}

    def history(self, session: str) -> InMemoryChatMessageHistory:
        """Give the history of a session."""
        if session not in self._histories:
            self._histories[session] = InMemoryChatMessageHistory()
        return self._histories[session]

    def trim(self, session: str, size: int) -> None:
        """Remove what was added."""
        del self._histories[session].messages[size:]
