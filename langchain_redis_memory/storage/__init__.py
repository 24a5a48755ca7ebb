"""How a request reaches Redis. Nothing in here knows of agents or messages of theirs."""
