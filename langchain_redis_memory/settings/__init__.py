"""What can be set by environment variables, or in the file ``.env``."""
