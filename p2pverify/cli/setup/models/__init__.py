"""Commands of `model` that make the manifest of a model."""
