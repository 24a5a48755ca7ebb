"""What is done to each peer, in the peer's own process."""
