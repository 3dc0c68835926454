"""Rounds of the bundled language model in PyTorch: `uv run --extra torch pytest -n 0 tests/adapters`."""
