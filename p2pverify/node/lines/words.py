"""The names of lines and versions as people write them: LINE and LINE@N."""


def version_name(line: str, number: int) -> str:
    """A version as people write it."""
    return f"{line}@{number}"


def split_version(text: str) -> tuple[str, int | None]:
    """The line of LINE or LINE@N, and the number if there is one. Raises ValueError. A line's name has no @."""
    line, at, number = text.rpartition("@")
    if not at:
        return number, None
    if not (line and number.isascii() and number.isdecimal() and len(number) <= 10):
        raise ValueError(f"{text[:80]!r} is not LINE@N, such as {line[:40] or 'LINE'}@2")
    return line, int(number)
