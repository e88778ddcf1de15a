"""A documented rule that a value breaks, told so that a person can mend it."""

from __future__ import annotations


class BrokenRule(ValueError):  # noqa: N818 - what happened, not whose fault: the caller decides which error it is
    """A value breaks a rule of Kaleyra's.

    :param field: the field at fault, named as the caller names it.
    :param rule: what the field must be.
    :param found: the offending value as it may be shown: a number masked, a key never.
    """

    def __init__(self, field: str, rule: str, found: str) -> None:
        super().__init__(field, rule, found)
        self.field = field
        self.rule = rule
        self.found = found

    def __str__(self) -> str:
        return f"{self.field} must be {self.rule}; found {self.found}."


def text_or_none(field: str, value: object) -> str | None:
    """Read a field: blank text counts as not given, and a whole number as its digits.

    Whole numbers come from Jinja's native rendering, which makes a number of a media id or a ref.

    :raises BrokenRule: for any other type, or for text that UTF-8 cannot carry.
    """
    if value is None:
        return None
    # By the base types' own methods, because a subclass may override them with anything.
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            value = int.__repr__(value)
        except ValueError:  # Python converts no number of more than some thousand digits
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
    """Return the text, unless it is ``None``, to which templates render a missing value.

    :raises BrokenRule: the text is ``None``.
    """
    if value == "None":
        found = "the text 'None': a template rendered a missing value, such as an empty XCom"
        raise BrokenRule(field, "a real value", found)
    return value


def shown_value(value: object) -> str:
    """Return a value as an error may show it: text is quoted, of anything else the type is named."""
    return shown(str.__str__(value)) if isinstance(value, str) else f"a value of type {type(value).__name__}"


def shown(value: str, limit: int = 80) -> str:
    """Quote a value for a message to a person: on one line, cut at *limit* characters."""
    return repr(value if len(value) <= limit else value[:limit] + "…")
