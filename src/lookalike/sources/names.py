"""How what is stored is named: paths, members of archives, addresses.

- ``/photos/a.jpg``: a file. Absolute, links kept, with forward slashes.
- ``/photos/old.zip!/2019/a.jpg``: a member of an archive.
- ``s3://bucket/2019/a.jpg``: an object, at an address of one of the `SCHEMES`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from lookalike.errors import SourceNotFound

PATH_BYTES = 8192
NO_UTF8 = "its name is not valid UTF-8"
TOO_LONG = f"its path has more than {PATH_BYTES} bytes"

SCHEMES = {
    "s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure",
    "abfss": "azure", "http": "http", "https": "http",
}  # fmt: skip
"""Scheme of an address -> the extra of lookalike that reads it."""

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ARCHIVE = re.compile(r"\.(?:zip|cbz|tar|tgz|tar\.gz|tar\.bz2|tar\.xz)\Z", re.IGNORECASE)
_MEMBER = re.compile(r"\.(?:zip|cbz|tar|tgz|tar\.gz|tar\.bz2|tar\.xz)!(?=/|\Z)", re.IGNORECASE)
# In Azure's addresses the container stands there.
_MAY_HAVE_AT = frozenset({"abfs", "abfss", "az"})
_SECRETS = frozenset({
    "access_token", "awsaccesskeyid", "key-pair-id", "policy", "sig", "signature", "token",
    "x-amz-credential", "x-amz-security-token", "x-amz-signature", "x-goog-credential",
    "x-goog-signature",
})  # fmt: skip


def absolute(path: str | os.PathLike[str]) -> str:
    """The path as stored: an address as it is, a file's path with ``~`` expanded.

    Raises:
        SourceNotFound: an address of a kind that is not read, or one with a password in it.
    """
    written = os.fspath(path)
    if match := _ADDRESS.match(written):
        scheme = match[1].lower()
        if scheme != "file":
            return _checked_address(written, scheme)
        from urllib.request import url2pathname  # noqa: PLC0415 - takes 30 ms, and is rarely needed

        written = url2pathname(urlsplit(written).path)
    # Path's own way raises where there is no such user; a file may be called so.
    expanded = os.path.expanduser(written)  # noqa: PTH111
    return Path(os.path.abspath(expanded)).as_posix()  # noqa: PTH100


def is_address(path: str) -> bool:
    """Whether it names something in a storage, or on the web."""
    return "://" in path and _ADDRESS.match(path) is not None and not is_file_address(path)


def is_file_address(path: str) -> bool:
    """Whether it is the path of a file in the form of an address."""
    return path[:7].lower() == "file://"


def is_archive(path: str) -> bool:
    """Whether a file of this name is looked into."""
    return _ARCHIVE.search(path) is not None


def split_member(path: str) -> tuple[str, str] | None:
    """``/a.zip!/b/c.jpg`` -> ``/a.zip`` and ``b/c.jpg``; None where no archive is named.

    Where the name is ambiguous, the first part decides that is a file on the disk.
    """
    if "!" not in path or is_address(path):
        return None
    places = [match.end() - 1 for match in _MEMBER.finditer(path)]
    if not places:
        return None
    here = (place for place in places if os.path.isfile(path[:place]))  # noqa: PTH113
    place = next(here, places[0])
    return path[:place], path[place + 2 :]


def storable(text: str) -> bool:
    """Whether it is valid UTF-8; Milvus holds nothing else."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def fault_of(path: str) -> str | None:
    """Why a path cannot be the path of a row."""
    if path.isascii():  # nearly all are, and a walk asks for each
        return TOO_LONG if len(path) > PATH_BYTES else None
    if not storable(path):
        return NO_UTF8
    return TOO_LONG if len(path.encode()) > PATH_BYTES else None


def printable(path: str) -> str:
    """A path in which bytes that are no UTF-8 stand as escapes."""
    return path.encode("utf-8", "backslashreplace").decode()


def exists(path: str) -> bool:
    """False only where the system says that there is no such file; links count as themselves."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def parent(path: str) -> str:
    """The folder that something lies in, also within an archive or a storage."""
    return path.rpartition("/")[0]


def without_secrets(text: str) -> str:
    """A text in which neither names and passwords nor the queries of addresses are left."""
    return re.sub(r"(://)[^/@\s]*@", r"\1…@", re.sub(r"(://[^\s?'\"]*)\?[^\s'\"]*", r"\1?…", text))


def _checked_address(written: str, scheme: str) -> str:
    address = f"{scheme}{written[len(scheme) :]}"
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in (*SCHEMES, "file"))
        raise SourceNotFound(without_secrets(address), f"is none of what can be read: {known}")
    host = address.split("/", 3)[2]
    if not host:
        raise SourceNotFound(address, "names no place")
    if "@" in host and (scheme not in _MAY_HAVE_AT or ":" in host.split("@")[0]):
        reason = "has a name or password in it; give those by the environment, they would be stored"
        raise SourceNotFound(without_secrets(address), reason)
    if SCHEMES[scheme] == "http":
        address = address.split("#", 1)[0]
        names = {name.lower() for name, _ in parse_qsl(urlsplit(address).query, True)}
        if names & _SECRETS:
            reason = "is signed, and the signature would be stored; use an address without"
            raise SourceNotFound(without_secrets(address), reason)
    return address.rstrip("/")
