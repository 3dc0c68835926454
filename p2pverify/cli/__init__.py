"""The command line. Imports stay inside functions, so that reading commands start quickly."""
