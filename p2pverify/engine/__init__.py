"""Engines behind one port: `llama` runs the bundled model, `toy` is for tests."""
