"""Programs that show the library at work, to be copied from."""
