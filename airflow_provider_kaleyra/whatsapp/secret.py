"""A secret text that neither a log, an error, a crash report nor a pickle shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self

from airflow_provider_kaleyra.whatsapp.redaction import MASK, without_key

if TYPE_CHECKING:
    import re


class Secret:
    """
    A secret text, such as an API key.

    Crash reporters record the ``repr`` of every local variable. So every value that contains the key contains it as
    this type; only the caller of :meth:`reveal`, which builds the request's headers, has the plain text.

    :param text: the secret.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = _Revealed(text)

    def reveal(self) -> str:
        """Return the text. Only its ``repr`` is hidden: keep it out of messages."""
        return self._text

    def matches(self, pattern: re.Pattern[str]) -> bool:
        """Return whether the whole text matches *pattern*."""
        return pattern.fullmatch(self._text) is not None

    def hidden_in(self, text: str) -> str:
        """Return *text* with this secret, and each part of it, replaced by asterisks, also where it is escaped."""
        return without_key(text, self._text) if self._text else text

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self._text, other._text) if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret cannot be pickled: read the Connection where it is used.")


class _Revealed(str):
    """The text of a secret, with a ``repr`` that hides it.

    ``str()`` and ``format()`` return the text, because HTTP clients build the header with them.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret cannot be pickled: read the Connection where it is used.")
