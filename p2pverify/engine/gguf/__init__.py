"""GGUF files: reading, writing, checking, pruning and quantising weights, and their chat template."""
