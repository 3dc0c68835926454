"""Why an engine does not do what it is asked for."""


class EngineBusy(Exception):
    """Too many jobs wait for the engine."""


class ModelUnavailable(Exception):
    """This node cannot compute with a version of its model."""


class RefereeUnavailable(Exception):
    """This node has no referee; the message says what to do."""
