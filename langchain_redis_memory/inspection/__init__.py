"""Looking at what a memory holds, and at the server that holds it."""
