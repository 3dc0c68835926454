"""Tests with a second real model, Gemma 3 270M in Q4_K_M: `uv run --group models pytest -n 0 tests/models`."""
