"""Open files and folders with Airflow's ``ObjectStoragePath``, and translate the errors of their stores."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_kaleyra.connection.reading import read_error
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
    :raises KaleyraConfigError: this Airflow cannot open the URL, or the Connection that the URL names is missing.
    :raises KaleyraConnectionUnreadableError: Airflow could not read that Connection; a retry can help.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if isinstance(file, ObjectStoragePath):
        _require_connection(str(file), consequence)
        return file
    text = text_of(file)
    if text in {None, "", "None"}:
        found = {"": "nothing", "None": "the text 'None': a template rendered a missing value"}.get(text or "", "")
        found = shown_value(file) if text is None else found
        raise KaleyraMessageError(f"{consequence}: the {what} must be a path or a URL; found {found}. Fix the {what}.")
    with translated_errors(display_path(text), consequence):
        _require_connection(text, consequence)
        if urlsplit(text).scheme in {"", "file"} and _conn_id(text) is None:
            _attach_local()
        return ObjectStoragePath(text if "://" in text else os.path.abspath(text))  # noqa: PTH100 - links stay


def display_path(file: str | os.PathLike[str]) -> str:
    """Return the path or URL for errors and logs, quoted: without signature and password, at most 300 characters."""
    text = (text_of(file) or str(file)).partition("?")[0]
    return shown(re.sub(r"(://[^/@:]*):[^/]*@", r"\1:***@", text), 300)


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
        missing = "bucket for" if is_missing_bucket(error) else "file"
        raise KaleyraUnusableFileError(f"{consequence}: there is no {missing} {shown}. {FIX_THE_PATH}") from None
    except PermissionError as error:
        raise KaleyraUnusableFileError(
            f"{consequence}: Airflow has no permission to read {shown} ({error}). "
            "Grant it to the user that Airflow runs as, or to the Connection that the URL names before its @."
        ) from None
    except (ImportError, ValueError) as error:
        raise KaleyraConfigError(
            f"{consequence}: this Airflow cannot open URLs of that kind ({error}): {shown}. Install the provider of "
            "that object store, such as apache-airflow-providers-amazon[s3fs] for s3://."
        ) from error
    except AirflowNotFoundException as error:
        raise KaleyraConfigError(
            f"{consequence}: a Connection is missing ({error}), which {shown} needs. Add it in Admin > Connections."
        ) from error
    except Exception as error:  # each store raises its own exceptions
        raise KaleyraFileError(
            f"{consequence}: reading failed ({type(error).__name__}: {error}) for {shown}. If the cause is temporary, "
            "Airflow's next try reads it again; otherwise fix the cause."
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
        raise KaleyraUnusableFileError(f"{consequence}: the path is {kind}: {shown}. {FIX_THE_PATH}")
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


def _require_connection(url: str, consequence: str) -> None:
    """Raise an error if the URL names a Connection that is missing: a store could then use other credentials.

    The Amazon provider, for example, uses the machine's own, and asks AWS for up to 20 seconds if there are none.
    """
    conn_id = _conn_id(url)
    if conn_id is None:
        return
    shown_id = re.sub(":.*", ":***", conn_id)  # a URL with a password, which Airflow takes for an id
    try:
        BaseHook.get_connection(conn_id)
    except Exception as cause:  # noqa: BLE001 - a secrets backend may raise anything
        error = read_error(conn_id, cause, shown_id) or KaleyraConfigError(
            f"{consequence}: there is no Connection {shown_id!r}, which {display_path(url)} names before its @. Add it "
            "in Admin > Connections, or fix the URL."
        )
    else:
        return
    # Outside of the handler: the cause's text may quote the Connection's password.
    raise error
