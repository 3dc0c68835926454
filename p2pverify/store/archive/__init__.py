"""Archives: segments of history as files, with an index."""
