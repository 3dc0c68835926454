"""Why an engine could not be opened; what to do next stands in the message."""


class EngineUnavailable(Exception):
    """The engine cannot run here: library or weights are absent, of another version, or unusable."""


class WeightsError(EngineUnavailable):
    """The weights are absent, are not the expected ones, or are not a well-formed GGUF file."""
