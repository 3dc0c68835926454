"""Commands of `model` about the versions of a network's models: see README.md in this folder."""
