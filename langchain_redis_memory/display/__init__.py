"""What a notebook shows of a memory, its conversations and profiles; loaded when it is shown."""
