"""Open files and folders by Airflow's ``ObjectStoragePath``, and translate the errors of their stores."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_kaleyra.exceptions import (
    KaleyraConfigError,
    KaleyraError,
    KaleyraFileError,
    KaleyraMessageError,
    KaleyraUnusableFileError,
)
from airflow_provider_kaleyra.whatsapp.validation import BrokenRule, shown, shown_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow.providers.common.compat.sdk import ObjectStoragePath

#: Bytes that are read from an object store at once; the default of some stores is 50 MB.
BLOCK_SIZE = 1 << 20
NOTHING_UPLOADED = "Nothing was uploaded"
FIX_THE_PATH = "Fix the path, or run this task after the task that writes the file."


def storage_path(
    file: str | os.PathLike[str], what: str = "file", consequence: str = NOTHING_UPLOADED
) -> ObjectStoragePath:
    """
    Return the path or URL as an ``ObjectStoragePath``.

    :param file: path, or URL that Airflow's ``ObjectStoragePath`` opens.
    :param what: what the path is, for error messages: ``file`` or ``folder``.
    :param consequence: first words of the error messages.
    :raises KaleyraMessageError: *file* is empty.
    :raises KaleyraConfigError: this Airflow cannot open the URL.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if isinstance(file, ObjectStoragePath):
        return file
    text = text_of(file)
    if text in {None, "", "None"}:
        found = {"": "nothing", "None": "the text 'None': a template rendered a missing value"}.get(text or "", "")
        found = shown_value(file) if text is None else found
        raise KaleyraMessageError(f"{consequence}: the {what} must be a path or a URL; found {found}.")
    with translated_errors(display_path(text), consequence):
        if urlsplit(text).scheme in {"", "file"} and _conn_id(text) is None:
            _attach_local()
        return ObjectStoragePath(text if "://" in text else os.path.abspath(text))  # noqa: PTH100 - links stay


def display_path(file: str | os.PathLike[str]) -> str:
    """Return the file as an error or a log may show it: without the signature of a URL, at most 300 characters."""
    return shown((text_of(file) or str(file)).partition("?")[0], 300)


def text_of(file: object) -> str | None:
    """Return the path or URL as text, blank for None; None if it is neither text nor a path."""
    try:
        text = os.fspath(file) if isinstance(file, str | os.PathLike) else "" if file is None else file
    except Exception:  # noqa: BLE001 - a path of any class may raise anything
        return None
    return str.__str__(text).strip() if isinstance(text, str) else None


@contextlib.contextmanager
def translated_errors(shown: str, consequence: str = NOTHING_UPLOADED) -> Iterator[None]:
    """Translate the exceptions of file systems into errors that say what to do.

    :param shown: path or URL for the messages, as :func:`display_path` returns it.
    :param consequence: first words of the messages.
    """
    try:
        yield
    except (KaleyraError, BrokenRule):
        raise
    except FileNotFoundError as error:
        missing = f"the bucket of {shown} does not exist" if is_missing_bucket(error) else f"there is no file {shown}"
        raise KaleyraUnusableFileError(f"{consequence}: {missing}. {FIX_THE_PATH}") from None
    except PermissionError as error:
        raise KaleyraUnusableFileError(
            f"{consequence}: Airflow has no permission to read {shown} ({_missing_connection(shown) or error}). "
            "Grant it to the user that Airflow runs as, or to the Connection that the URL names before its @."
        ) from None
    except (ImportError, ValueError) as error:
        raise KaleyraConfigError(
            f"{consequence}: this Airflow cannot open {shown} ({error}). Install the provider of that object store, "
            "such as apache-airflow-providers-amazon[s3fs] for s3://."
        ) from error
    except AirflowNotFoundException as error:
        raise KaleyraConfigError(
            f"{consequence}: {shown} cannot be opened ({error}). Add the Connection that the URL names before its @."
        ) from error
    except Exception as error:  # each store raises its own exceptions
        raise KaleyraFileError(
            f"{consequence}: reading {shown} failed ({type(error).__name__}: {error}). If the cause is "
            "temporary, nothing is to be done: Airflow's next try reads it again."
        ) from error


def file_info(path: ObjectStoragePath, shown: str, consequence: str = NOTHING_UPLOADED) -> Mapping[str, Any]:
    """
    Return the store's information about a file, such as its size.

    :param path: path of the file.
    :param shown: path or URL for error messages, as :func:`display_path` returns it.
    :param consequence: first words of the error messages.
    :raises KaleyraUnusableFileError: the path is not a file.
    """
    info: Mapping[str, Any] = path.fs.info(path.path)
    if info["type"] != "file":
        kind = "a folder" if info["type"] == "directory" else "not a regular file"
        raise KaleyraUnusableFileError(f"{consequence}: {shown} is {kind}. {FIX_THE_PATH}")
    return info


def is_missing_bucket(error: FileNotFoundError) -> bool:
    """Return whether the bucket is missing, not only a file or folder in it."""
    return "bucket does not exist" in str(error)


def reset_store(url: str | os.PathLike[str]) -> None:
    """Make the next use of the URL's store read its Connection again; otherwise a process reads it only once."""
    text = text_of(url)
    try:
        store = _attach()(urlsplit(text or "").scheme or "file", _conn_id(text or ""))
    except ValueError:  # no URL
        return
    vars(store).pop("fs", None)


def _attach_local() -> None:
    """Attach the local disk directly; otherwise Airflow first loads the providers of all object stores."""
    from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

    _attach()("file", fs=LocalFileSystem())


def _attach() -> Callable[..., Any]:
    try:
        from airflow.sdk.io import attach
    except ImportError:  # Airflow 2
        from airflow.io.store import attach  # type: ignore[import-not-found,no-redef]
    return attach


def _conn_id(url: str) -> str | None:
    return urlsplit(url).netloc.rpartition("@")[0] or None


def _missing_connection(shown: str) -> str | None:
    """Return a message if the URL's Connection is missing: the Amazon provider then uses the machine's credentials."""
    conn_id = _conn_id(shown.strip("'"))
    try:
        if conn_id:
            BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return f"there is no Connection {conn_id!r}"
    return None
