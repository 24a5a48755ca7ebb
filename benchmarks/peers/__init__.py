"""What is measured: each peer in a module of its own, which loads in a process of its own."""
