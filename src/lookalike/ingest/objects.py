"""The pictures in a storage or on a web server."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from lookalike.errors import PictureError
from lookalike.ingest.ignore import IgnoreRules
from lookalike.ingest.seen import ScanOptions, Seen, image_file
from lookalike.records import ImageFile, Skipped
from lookalike.sources.names import parent, printable
from lookalike.sources.remote import Entry, Storage

# Links can make a web server's folders endless.
MAX_DEPTH = 32
TWO_SLASHES = "what has two slashes in a row in its name is left out"


def objects(
    storage: Storage, *, rules: IgnoreRules, options: ScanOptions, seen: Seen, at_once: int
) -> Iterator[ImageFile | Skipped]:
    """What lies below the address that the rules are of; hidden names are left out.

    A few folders are listed at a time, and their objects come in the order of the names. A folder
    on the web counts as listed only if there is a picture in it or below it: a server that asks for
    a password, say, answers with a page and some links, too.
    """
    waiting = [rules.source]
    while waiting:
        folders, waiting = waiting[:at_once], waiting[at_once:]
        for folder, entries in zip(folders, storage.listed(folders), strict=True):
            if isinstance(entries, PictureError):
                yield Skipped(printable(folder), f"it cannot be listed: {entries.reason}")
                continue
            if not storage.is_web:
                seen.listed.add(folder)
            if folder == rules.source:
                seen.listed.add(folder)
                seen.walked.append(folder)
            seen.names.update(hash(entry.address) for entry in entries)
            if any(entry.address == f"{folder}//" for entry in entries):
                yield Skipped(printable(f"{folder}//"), TWO_SLASHES)
            shown = [
                entry
                for entry in entries
                if entry.address != f"{folder}//"
                and not posixpath.basename(entry.address).startswith(".")
                and not (rules.active and rules.match(entry.address, is_folder=entry.is_folder))
            ]
            subfolders = [entry.address for entry in shown if entry.is_folder]
            if folder.count("/") - rules.source.count("/") < MAX_DEPTH:
                waiting += subfolders
            elif subfolders:
                reason = f"what lies more than {MAX_DEPTH} folders deep is left out"
                yield Skipped(printable(folder), reason)
            wanted = [
                entry
                for entry in shown
                if not entry.is_folder and options.wants(_name(entry.address))
            ]
            for start in range(0, len(wanted), at_once):
                for item in _stamped(storage, wanted[start : start + at_once]):
                    seen.fruitful.add(rules.source)
                    if storage.is_web and isinstance(item, ImageFile):
                        seen.listed.update(_folders_up_to(rules.source, item.path))
                    yield item


def _stamped(storage: Storage, entries: list[Entry]) -> Iterator[ImageFile | Skipped]:
    """Files with their stamps, which a web server must be asked for."""
    unknown = [entry.address for entry in entries if entry.stamp is None]
    answers = dict(zip(unknown, storage.entries(unknown), strict=True)) if unknown else {}
    for entry in entries:
        answer = answers.get(entry.address, entry)
        if isinstance(answer, PictureError):
            yield Skipped(printable(entry.address), answer.reason)
        elif answer.stamp is None:
            yield Skipped(printable(entry.address), "it is a page, not a picture")
        else:
            yield image_file(entry.address, answer.stamp)


def _folders_up_to(source: str, address: str) -> Iterator[str]:
    while address != source:
        address = parent(address)
        yield address


def _name(address: str) -> str:
    """The last part of an address, as a name of a file."""
    if address.startswith(("http://", "https://")):
        return unquote(posixpath.basename(urlsplit(address).path))
    return posixpath.basename(address)
