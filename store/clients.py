"""Clients of remote stores: with which options they are made, and what their errors mean to people."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from slidelake.errors import SlidelakeError, StoreNotWritableError, StoreUnreachableError

__all__ = ["asking", "client_options", "is_client_error", "meaning", "read_options", "tune"]

# botocore sends a request three times, and s3fs all of that once more at each of its two layers, as it alone knows of
# answers that break off. A server that is not there is known after two seconds, one that takes requests and never
# answers after a minute (writes) or three (reads); with the clients' own fives it would be half an hour.
_BOTO_ATTEMPTS, _S3FS_ATTEMPTS = 3, 2
# Whose error classes those of a client may be, beside Python's own.
_CLIENTS = {"botocore", "aiobotocore", "aiohttp", "fsspec", "s3fs", "gcsfs", "google", "adlfs", "azure"}


def client_options(url: str) -> dict[str, Any]:
    """What fsspec gets beside the URL."""
    # A cached listing would hide what other writers commit.
    options: dict[str, Any] = {"use_listings_cache": False}
    if _is_s3(url) and not {"AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"} & os.environ.keys():
        options["config_kwargs"] = {"retries": {"mode": "standard", "total_max_attempts": _BOTO_ATTEMPTS}}
    return options


def tune(fs: Any, url: str) -> None:
    """What a client takes only once it is there."""
    if _is_s3(url):
        fs.retries = _S3FS_ATTEMPTS


def read_options(url: str) -> dict[str, Any]:
    """What a whole object is read with: s3fs would ask for its size first, in a request of its own, to read objects
    of more than 50 MB in parts."""
    return {"max_concurrency": 1} if _is_s3(url) else {}


@contextmanager
def asking(url: str, *, writing: bool = False) -> Iterator[None]:
    """Turns what a client raises into the store's errors; that a key is there, or is not, passes through.

    Raises StoreUnreachableError, and StoreNotWritableError where a request to write is forbidden.
    """
    try:
        yield
    except (SlidelakeError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError):
        raise
    except Exception as exc:
        # Clients raise what they like: botocore's, aiohttp's, fsspec's and Python's own classes.
        raise meaning(url, exc, writing=writing) from exc


def is_client_error(exc: BaseException) -> bool:
    """Whether an error that came through zarr-python is its client's: not about the bytes, nor that there are none."""
    if isinstance(exc, OSError):
        return not isinstance(exc, FileNotFoundError)
    return type(exc).__module__.partition(".")[0] in _CLIENTS


def meaning(url: str, exc: BaseException, *, writing: bool = False, slide: str = "") -> SlidelakeError:
    """The store's error for what a client raised, while it read or wrote data of `slide` if it is named."""
    error = _meaning(url, exc, writing)
    error.slide = slide
    return error


def _meaning(url: str, exc: BaseException, writing: bool) -> SlidelakeError:
    name = type(exc).__name__
    if "Credential" in name:
        return StoreUnreachableError(
            f"the store {url} wants credentials, and there are none ({exc})",
            remedy="For S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
        )
    if isinstance(exc, PermissionError):
        if writing:
            return StoreNotWritableError(
                f"the store {url} cannot be written ({exc})",
                remedy="Give these credentials the right to write there, or choose another --store.",
            )
        return StoreUnreachableError(
            f"the store {url} cannot be reached: its server refuses these credentials ({exc})",
            remedy="Look at the credentials, and at their right to read and list this bucket.",
        )
    return StoreUnreachableError(
        f"the store {url} cannot be reached ({name}: {exc})",
        remedy="Look at the network and the URL; for an S3 server that is not Amazon's also at AWS_ENDPOINT_URL. "
        "Then run the same command again: what is committed stays.",
    )


def _is_s3(url: str) -> bool:
    return url.partition("://")[0] in ("s3", "s3a")
