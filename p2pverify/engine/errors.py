"""Errors that say why an engine cannot be opened. The message says what to do next."""


class EngineUnavailable(Exception):
    """The engine cannot run here: its library or weights are absent, have another version, or are unusable."""


class WeightsError(EngineUnavailable):
    """The weights are absent, are not the expected ones, or are not a well-formed GGUF file."""
