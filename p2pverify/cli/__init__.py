"""The command line. Imports stay inside functions, so that commands that only read start quickly."""
