"""Checks of values against documented rules, and the error that names the broken rule."""

from __future__ import annotations


class BrokenRule(ValueError):  # noqa: N818 - internal: callers turn it into an error of the public tree
    """A value breaks a rule of Kaleyra's.

    :param field: the name of the field, as the caller knows it.
    :param rule: what the field must be.
    :param found: the invalid value for display: a phone number masked, an API key never.
    """

    def __init__(self, field: str, rule: str, found: str) -> None:
        super().__init__(field, rule, found)
        self.field = field
        self.rule = rule
        self.found = found

    def __str__(self) -> str:
        return f"{self.field} must be {self.rule}; found {self.found}."


def text_or_none(field: str, value: object) -> str | None:
    """Return the text of a field, or None if it is None or blank; a whole number is returned as its digits.

    Jinja's native rendering turns a media id or a ref of digits into a whole number.

    :raises BrokenRule: the value has another type, or is text that UTF-8 cannot encode.
    """
    if value is None:
        return None
    # The methods of the base types, because a subclass may override them.
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            value = int.__repr__(value)
        except ValueError:  # Python does not convert numbers of more than some thousand digits
            raise BrokenRule(field, "text", "a number with too many digits") from None
    if not isinstance(value, str):
        raise BrokenRule(field, "text", shown_value(value))
    value = str.__str__(value)
    if not value.strip():
        return None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BrokenRule(field, "valid Unicode text", f"half a surrogate pair at character {error.start}") from None
    return value


def no_missing_value(field: str, value: str) -> str:
    """Return *value* unless it is the text ``None``, to which templates render a missing value.

    :raises BrokenRule: the text is ``None``.
    """
    if value == "None":
        found = "the text 'None': a template rendered a missing value, such as an empty XCom"
        raise BrokenRule(field, "a real value", found)
    return value


def shown_value(value: object) -> str:
    """Return a value for an error message: text in quotes, anything else as the name of its type."""
    return shown(str.__str__(value)) if isinstance(value, str) else f"a value of type {type(value).__name__}"


def shown(value: str, limit: int = 80) -> str:
    """Return a text in quotes for an error message: on one line, cut at *limit* characters."""
    return repr(value if len(value) <= limit else value[:limit] + "…")
