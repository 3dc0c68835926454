"""Why an engine does not do what it is asked for."""


class EngineBusy(Exception):
    """Too many jobs wait for the engine."""


class RefereeUnavailable(Exception):
    """This node has no referee; the message says what to do."""
