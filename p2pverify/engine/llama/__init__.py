"""llama.cpp as an engine: the bindings, and the builds for other processors."""
