"""The root of the error tree; every subsystem derives its own small branch from it."""

SHOWN_CHARACTERS = 80


def shown(value: object) -> str:
    """A value as a message may show it: whole while it is short, else its beginning and its length."""
    text = repr(value[: SHOWN_CHARACTERS + 1] if isinstance(value, str | bytes) else value)
    if len(text) <= SHOWN_CHARACTERS + 2:
        return text
    size = len(value) if isinstance(value, str | bytes) else len(text)
    return f"{text[:SHOWN_CHARACTERS]}... ({size} long)"


class AdfeastError(Exception):
    """Something a caller or an operator can act on; the message names the field, the value and what to do.

    Attributes:
        later: nothing is wrong: the same may be asked again unchanged once the state is another.
    """

    later = False


class DefinitionError(AdfeastError):
    """A feature definition, a tag or an event schema is not usable."""


class SettingsError(AdfeastError):
    """A settings file or an environment variable holds an unknown key or a bad value."""


class InvalidEvent(AdfeastError):
    """An event does not fit its schema.

    Attributes:
        field: name of the offending column.
        rule: which rule it breaks, as named in adfeast.contract.event_rules.
    """

    def __init__(self, message: str, field: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.field, self.rule = field, rule


class NotLogged(AdfeastError):
    """A model asks for a feature that was not logged, or is not logged as the model knows it."""


class SignatureMismatch(AdfeastError):
    """Two sides disagree on the ordered inputs of a model; both hashes stand in the message."""

    def __init__(self, what: str, expected: str, found: str) -> None:
        super().__init__(
            f"{what} has signature {found}, but {expected} is expected: "
            "both must name the same ordered inputs with the same buckets, transforms and defaults"
        )
        self.expected, self.found = expected, found
