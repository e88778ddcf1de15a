"""Files and folders wherever Airflow can open them, and what their stores raise as errors that a person can mend."""

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
from airflow_provider_kaleyra.whatsapp.rules import BrokenRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow.providers.common.compat.sdk import ObjectStoragePath

#: What is read at once of an object store, which may otherwise read 50 MB ahead.
BLOCK_SIZE = 1 << 20
NOTHING_UPLOADED = "Nothing was uploaded"
OTHER_FILE = "Mend the path, or let the task run after the one that writes the file."


def path_of(file: str | os.PathLike[str], what: str = "file", consequence: str = NOTHING_UPLOADED) -> ObjectStoragePath:
    """
    The path or URL as Airflow opens it.

    :param what: it is, in an error's words; and what the *consequence* of one is.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if isinstance(file, ObjectStoragePath):
        return file
    text = str(os.fspath(file)).strip() if file else ""
    if text in {"", "None"}:
        raise KaleyraMessageError(
            f"{consequence}: the {what} must be a path or a URL; found "
            + ("the text 'None': a template rendered a missing value." if text else "nothing.")
        )
    with troubles_told(shown_path(text), consequence):
        if urlsplit(text).scheme in {"", "file"} and _conn_id(text) is None:
            _attach_local()
        return ObjectStoragePath(text if "://" in text else os.path.abspath(text))  # noqa: PTH100 - links stay


def shown_path(file: str | os.PathLike[str]) -> str:
    """The file as a person may see it: without what signs a URL."""
    return repr(str(file).partition("?")[0])


@contextlib.contextmanager
def troubles_told(shown: str, consequence: str = NOTHING_UPLOADED) -> Iterator[None]:
    """Turn what file systems raise, each of them its own, into what a person can mend."""
    try:
        yield
    except (KaleyraError, BrokenRule):
        raise
    except FileNotFoundError as error:
        missing = f"the bucket of {shown} does not exist" if no_bucket(error) else f"there is no file {shown}"
        raise KaleyraUnusableFileError(f"{consequence}: {missing}. {OTHER_FILE}") from None
    except PermissionError as error:
        raise KaleyraUnusableFileError(
            f"{consequence}: Airflow may not read {shown} ({_without_connection(shown) or error}). Let the user that "
            "Airflow runs as, or the Connection that the URL names before its @, read it."
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
    except Exception as error:  # each store raises its own
        raise KaleyraFileError(
            f"{consequence}: reading {shown} failed ({type(error).__name__}: {error}). That may pass, and Airflow's "
            "next try reads it again."
        ) from error


def file_info(path: ObjectStoragePath, shown: str, consequence: str = NOTHING_UPLOADED) -> Mapping[str, Any]:
    """
    What the store tells of a file.

    :raises KaleyraUnusableFileError: it is something else.
    """
    info: Mapping[str, Any] = path.fs.info(path.path)
    if info["type"] != "file":
        kind = "a folder" if info["type"] == "directory" else "no ordinary file"
        raise KaleyraUnusableFileError(f"{consequence}: {shown} is {kind}. {OTHER_FILE}")
    return info


def no_bucket(error: FileNotFoundError) -> bool:
    """Whether a whole bucket is missing, and no folder, which object stores do not really have."""
    return "bucket does not exist" in str(error)


def open_anew(url: str) -> None:
    """Let the next use of a URL's store read its Connection again, which a process otherwise reads once."""
    store = _attach()(urlsplit(url).scheme or "file", _conn_id(url))
    vars(store).pop("fs", None)


def _attach_local() -> None:
    """Open the local disk, for which Airflow would load every provider of an object store first."""
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


def _without_connection(shown: str) -> str | None:
    """Say that the Connection is missing, instead of which the store of Amazon takes what it finds on the machine."""
    conn_id = _conn_id(shown.strip("'"))
    try:
        if conn_id:
            BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return f"there is no Connection {conn_id!r}"
    return None
