"""What is measured: each peer in a module of its own, which loads in a process of its own."""

from __future__ import annotations

PEERS = {
    "ours": "ours:Ours",
    "in_memory": "in_memory:InMemory",
    "reused": "community:Reused",
    "documented": "community:Documented",
    "bare": "bare:Bare",
    "encoding": "bare:Encoding",
    "llama_index": "llama_index:LlamaIndex",
    "openai_agents": "openai_agents:OpenAIAgents",
}
"""Where the class of each is, and in which order the tables have them."""
