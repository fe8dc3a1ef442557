"""Which pictures of an index are there more than once: exactly, nearly, or merely alike.

- Exact: the same bytes, by the hash of the content.
- Near: vectors whose cosine is 0.6 at least, and perceptual hashes that differ in 14 of 64 bits at
  most. Each alone would do neither: a model sees a kind of thing in two pictures, a hash sees light
  and dark in the same places, and only copies have both.
- Similar: vectors alone.

Every picture of a group was compared with the one that is kept. Chains of likeness (a like b, b
like c) make no group of pictures that are unlike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lookalike.errors import InvalidQuestion, InvalidSetting
from lookalike.insight.links import Looks, components, links
from lookalike.records import Duplicate, DuplicateGroup, ImageRecord, row_id
from lookalike.sources.names import is_archive
from lookalike.store import filters

LEVELS = ("exact", "near", "similar")
SIMILAR_SCORE = 0.9
WRITTEN_ROWS = 16  # read and written at once, for others may write, too
WHOLE = 1024  # nodes of a component, of which each is compared with all

_Key = tuple[int | str, ...]


def _pixels(row: Duplicate) -> int:
    return row.width * row.height


POLICIES: dict[str, Callable[[Duplicate], int]] = {
    "most-pixels": lambda row: -_pixels(row),
    "largest": lambda row: -row.stamp.size_bytes,
    "newest": lambda row: -row.stamp.mtime_ns,
    "oldest": lambda row: row.stamp.mtime_ns,
    "shortest-path": lambda row: len(row.path),
}
"""How the picture that is kept is chosen: name -> what the kept one has least of."""


class Store(Protocol):
    """What looking for duplicates needs of a store."""

    def scan(self, condition: str = "") -> Iterator[list[ImageRecord]]: ...  # noqa: D102


class Rows(Protocol):
    """What writing into rows needs of a store."""

    def records(self, ids: Sequence[str]) -> list[ImageRecord]: ...  # noqa: D102
    def upsert(self, records: list[ImageRecord]) -> None: ...  # noqa: D102


def find_duplicates(
    store: Store,
    *,
    paths: Sequence[str],
    against: Sequence[str],
    level: str,
    min_score: float | None,
    keep: str,
    look: Callable[[str], str | None],
) -> list[DuplicateGroup]:
    """Groups of duplicates in the order of the paths of what is kept.

    Args:
        store: the rows.
        paths: as stored; only pictures at or below them take part, all where there are none.
        against: as stored; pictures at or below them are kept, and only compared with others.
        level: the weakest of the `LEVELS` that counts.
        min_score: the least cosine of similar pictures, by default `SIMILAR_SCORE`.
        keep: one of the `POLICIES`.
        look: gives the perceptual hash of a picture whose row has none, None if it cannot be had.

    Raises:
        InvalidSetting: there is no such level or policy, or the score cannot be.
        InvalidQuestion: nothing of one of the folders is in the index.
    """
    if level not in LEVELS:
        raise InvalidSetting("level", level, "exact, near or similar")
    if keep not in POLICIES:
        raise InvalidSetting("keep", keep, f"one of {', '.join(POLICIES)}")
    if min_score is not None and (level != "similar" or not 0 < min_score <= 1):
        raise InvalidSetting("min_score", min_score, "above 0, at most 1, and for level similar")
    rows, vectors = _read(store, paths, against)
    for folder in (*paths, *against):
        if not any(below(row.path, [folder]) for row in rows):
            message = f"Nothing in {folder} is in the index; check the spelling, or index it."
            raise InvalidQuestion(message)
    policy = POLICIES[keep]

    def key(number: int) -> _Key:
        row = rows[number]
        size = row.stamp.size_bytes
        ties = (-_pixels(row), -size, row.stamp.mtime_ns, len(row.path), row.path)
        return (policy(row), *ties)

    order = sorted(range(len(rows)), key=key)
    reference = [below(row.path, against) for row in rows]
    by_content: dict[str, list[int]] = {}
    for number in order:
        by_content.setdefault(rows[number].content, []).append(number)
    # A node is one content; its first row has the best of the policy.
    nodes = list(by_content.values())
    kept = [any(reference[number] for number in node) for node in nodes]
    looks = Looks(
        vectors[[node[0] for node in nodes]],
        [next((rows[n].phash for n in node if rows[n].phash), "") for node in nodes],
        lambda node: next(filter(None, (look(rows[n].path) for n in nodes[node])), ""),
        level=level,
        min_score=SIMILAR_SCORE if min_score is None else min_score,
    )
    groups = _stars_across(looks, kept) if against else _stars(looks)

    def group(center: int, linked: dict[int, tuple[str, float]]) -> DuplicateGroup | None:
        own = [number for number in nodes[center] if reference[number] or not against]
        others = [
            replace(rows[number], kind="exact", score=1.0)
            for number in nodes[center]
            if number != own[0] and not reference[number]
        ]
        others += [
            replace(rows[number], kind=kind, score=score)
            for node, (kind, score) in linked.items()
            for number in nodes[node]
        ]
        others.sort(key=lambda row: (LEVELS.index(row.kind), -row.score, row.path))
        return DuplicateGroup(rows[own[0]], tuple(others)) if others else None

    found = filter(None, (group(*each) for each in groups))
    return sorted(found, key=lambda each: each.keep.path)


def keep_hashes(hashes: Mapping[str, tuple[str, str]], store: Rows) -> None:
    """Write perceptual hashes into the rows that have none, of pictures that are as they were.

    Args:
        hashes: path as stored -> the hash of the bytes that were looked at, and of how they look.
        store: where the rows are.
    """
    paths = [path for path, (_, phash) in hashes.items() if phash]
    for start in range(0, len(paths), WRITTEN_ROWS):
        ids = [row_id(path) for path in paths[start : start + WRITTEN_ROWS]]
        rows = [row for row in store.records(ids) if row.content == hashes[row.path][0]]
        store.upsert([replace(row, phash=hashes[row.path][1]) for row in rows])


def below(path: str, folders: Sequence[str]) -> bool:
    """Whether a path is one of these, or lies in one of these folders or archives."""
    return any(
        path == folder or path.startswith((f"{folder.rstrip('/')}/", f"{folder}!/"))
        for folder in folders
    )


def _condition(folders: Sequence[str]) -> str:
    parts = []
    for folder in folders:
        parts += [f"path == {filters.quote(folder)}", filters.under(folder)]
        if is_archive(folder):
            parts.append(filters.under(f"{folder}!"))
    return filters.joined("or", parts)


def _read(
    store: Store, paths: Sequence[str], against: Sequence[str]
) -> tuple[list[Duplicate], npt.NDArray[np.float32]]:
    rows: list[Duplicate] = []
    pages: list[npt.NDArray[np.float32]] = []
    for page in store.scan(_condition([*paths, *against]) if paths else ""):
        if not page:
            continue
        pages.append(np.stack([row.vector for row in page]))
        rows += [
            Duplicate(
                path=row.path,
                kind="keep",
                score=1.0,
                content=row.content,
                stamp=row.stamp,
                width=row.width,
                height=row.height,
                taken_at=row.taken_at,
                format=row.format,
                phash=row.phash,
            )
            for row in page
        ]
    return rows, np.concatenate(pages) if pages else np.empty((0, 1), np.float32)


_Star = tuple[int, dict[int, tuple[str, float]]]


def _stars(looks: Looks) -> Iterator[_Star]:
    """Each node with the later ones that are linked to it and to none before it.

    In components of more than `WHOLE` nodes, with those of them that a way of links leads to, over
    others that are linked to it: comparing with all takes quadratic time in a long chain.
    """
    pairs = links(looks)
    beside: dict[int, list[int]] = {}
    for first, second in pairs:
        beside.setdefault(first, []).append(second)
        beside.setdefault(second, []).append(first)
    for component in components(looks.count, pairs):
        free = set(component)
        for center in component:
            if center not in free:
                continue
            free.remove(center)
            if len(component) <= WHOLE:
                linked = looks.compare(center, sorted(free))
            else:
                linked = _around(center, free, beside, looks)
            free -= linked.keys()
            yield center, linked


def _around(
    center: int, free: Set[int], beside: Mapping[int, Sequence[int]], looks: Looks
) -> dict[int, tuple[str, float]]:
    """Those of the `free` nodes that are linked to the center, and so to it through each other."""
    linked: dict[int, tuple[str, float]] = {}
    reached, seen = [center], {center}
    while reached:
        others = {other for node in reached for other in beside.get(node, ())}
        others = (others & free) - seen
        seen |= others
        found = looks.compare(center, sorted(others))
        linked |= found
        reached = list(found)
    return linked


def _stars_across(looks: Looks, kept: Sequence[bool]) -> Iterator[_Star]:
    """Each node of the reference with those others that are linked to it and to none before."""
    reference = [node for node in range(looks.count) if kept[node]]
    others = [node for node in range(looks.count) if not kept[node]]
    linked: dict[int, dict[int, tuple[str, float]]] = {node: {} for node in reference}
    taken: set[int] = set()
    for center, other in sorted(links(looks, others, reference)):
        if other not in taken:
            taken.add(other)
            linked[center] |= looks.compare(center, [other])
    yield from linked.items()
