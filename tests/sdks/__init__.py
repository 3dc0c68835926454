"""Clients of other people against a real node: openai-python, LiteLLM, langchain-openai, llm and openai-node.

`uv run pytest -n 0 tests/sdks`. Each client runs in its own environment, which uv or npm makes from their registries
at the pinned version.
"""
