"""Filters mean what they say, in Milvus Lite and on a server, whatever the fields hold."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.query.conditions import condition_of
from lookalike.records import ImageRecord, Stamp
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel
from tests.conftest import KINDS, new_place

DIM = 8
TEXTS = [
    "", "cat", "Cat", "dog", "catalog", "a b", "it's", 'say "x"', "back\\slash", "\\", '\\"', "%",
    "_", "ca%", "c_t", '" or id != "', "' or true or '", "new\nline", "tab\t", "ä", "日本", "🦔",
    "null", "true", "5", "$meta", "{x}", "]", "\u2028", "a\rb",
]  # fmt: skip
NUMBERS: list[int | float] = [0, 1, -1, 5, 5.5, -2.25, 1e9, 2**40, -(2**40), 0.1]
MOMENTS = [
    "2024-12-31 23:59:59",
    "2025-01-01 00:00:00",
    "2025-06-01 12:30:10",
    "2025-06-30 23:59:59",
]
MOMENTS += ["2025-07-01 00:00:00", "1969-12-31 23:59:59", "2024-02-29 08:00:00"]
FOLDERS = ["/a", "/a b", "/a%", "/a0", '/a"', "/a\\", "/ä", "/a/b"]


def seconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=timezone.utc).timestamp())


def rows() -> list[ImageRecord]:
    """Rows of all kinds, the same each time."""
    chance = random.Random(0)
    records = []
    for number in range(150):
        own: dict[str, Any] = {}
        for name, values in (
            ("label", [*TEXTS, "cat", "dog", "cat"]),
            ("rating", NUMBERS),
            ("ok", [True, False]),
            ("mixed", ["cat", "5", "", 5, 1.5, None, ["cat"], {"cat": 1}]),
            ("in", [1, 2]),
            ("exists", ["cat"]),
        ):
            if chance.random() < 0.7:
                own[name] = chance.choice(values)
        folder, moment = chance.choice(FOLDERS), chance.choice([*MOMENTS, None])
        records.append(
            ImageRecord(
                path=f"{folder}/{number}.jpg",
                content=f"{number % 7:032x}",
                stamp=Stamp(chance.choice([0, 999_999, 1_000_000, 1_048_576, 5_000_000]), number),
                width=chance.choice([1, 2, 100, 1000]),
                height=4,
                taken_at=0 if moment is None else seconds(moment),
                format=chance.choice(["jpeg", "png"]),
                vector=np.eye(DIM, dtype=np.float32)[number % DIM],
                animated=chance.random() < 0.3,
                metadata=own,
            )
        )
    return records


ROWS = rows()


@pytest.fixture(scope="module", params=KINDS)
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MilvusStore]:
    model = CollectionModel(model="test", fingerprint="f", dim=DIM)
    store = new_place(request.param, tmp_path_factory.mktemp("where"), request).open(model)
    # From a file on disk and from the table in memory: filters run on both.
    store.upsert(ROWS[::2])
    store.flush()
    store.upsert(ROWS[1::2])
    yield store
    store.close()


def found(store: MilvusStore, text: str) -> set[str]:
    hits = store.search(
        np.ones(DIM, np.float32) / DIM**0.5, limit=len(ROWS), condition=condition_of(text, store)
    )
    return {hit.path for hit in hits}


@dataclass(frozen=True)
class Said:
    """A filter, and the same in Python: True, False, or None where it cannot be said."""

    text: str
    meets: Callable[[ImageRecord], bool | None]

    def __repr__(self) -> str:
        return self.text


OPERATORS = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def quoted(text: str, quote: str = '"') -> str:
    text = text.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return f"{quote}{text}{quote}"


def of_type(record: ImageRecord, name: str, kind: type) -> Any:
    value = record.metadata.get(name)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if (is_number if kind is float else isinstance(value, kind)) else None


def comparing(read: Callable[[ImageRecord], Any], sign: str, value: Any) -> Any:
    def meets(record: ImageRecord) -> bool | None:
        has = read(record)
        return None if has is None else bool(OPERATORS[sign](has, value))

    return meets


SIGNS = st.sampled_from(sorted(OPERATORS))
texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
numbers = st.sampled_from(NUMBERS) | st.integers(-(2**40), 2**40)


def own_text() -> st.SearchStrategy[Said]:
    def make(name: str, sign: str, value: str, quote: str) -> Said:
        read = comparing(lambda record: of_type(record, name, str), sign, value)
        return Said(f"{name} {sign} {quoted(value, quote)}", read)

    names = st.sampled_from(["label", "mixed", "exists"])
    return st.builds(make, names, SIGNS, texts, st.sampled_from("\"'"))


def own_number() -> st.SearchStrategy[Said]:
    def make(name: str, sign: str, value: float) -> Said:
        read = comparing(lambda record: of_type(record, name, float), sign, value)
        return Said(f"{name}{sign}{value}", read)

    return st.builds(make, st.sampled_from(["rating", "mixed", "in"]), SIGNS, numbers)


def own_boolean() -> st.SearchStrategy[Said]:
    def make(written: str, wanted: bool) -> Said:
        return Said(written, comparing(lambda record: of_type(record, "ok", bool), "=", wanted))

    return st.sampled_from([make("ok", True), make("ok = false", False), make("ok != TRUE", False)])


def own_list() -> st.SearchStrategy[Said]:
    def make(name: str, values: list[Any], word: str) -> Said:
        written = ", ".join(quoted(v) if isinstance(v, str) else str(v) for v in values)

        def meets(record: ImageRecord) -> bool | None:
            # Values of another type than the field's are not compared with it.
            known = [
                of_type(record, name, str if isinstance(value, str) else float) == value
                for value in values
                if of_type(record, name, str if isinstance(value, str) else float) is not None
            ]
            if word == "in":
                return True if any(known) else (False if len(known) == len(values) else None)
            return False if any(known) else (True if len(known) == len(values) else None)

        return Said(f"{name} {word} [{written}]", meets)

    lists = st.lists(texts, min_size=1, max_size=4) | st.lists(numbers, min_size=1, max_size=4)
    words = st.sampled_from(["in", "not in"])
    return st.builds(make, st.sampled_from(["mixed"]), lists, words)


def facts() -> st.SearchStrategy[Said]:
    def whole(name: str, sign: str, value: int) -> Said:
        return Said(f"{name} {sign} {value}", comparing(lambda r: getattr(r, name), sign, value))

    def size(name: str, sign: str, written: tuple[str, int]) -> Said:
        read = comparing(lambda r: r.stamp.size_bytes, sign, written[1])
        return Said(f"{name} {sign} {written[0]}", read)

    def text(name: str, sign: str, value: str) -> Said:
        read = comparing(lambda r: getattr(r, name), sign, value)
        return Said(f"{name} {sign} {quoted(value)}", read)

    def under(folder: str) -> Said:
        return Said(
            f"path under {quoted(folder)}",
            lambda record: record.path.startswith(folder.rstrip("/") + "/"),
        )

    def moment(sign: str, written: str) -> Said:
        # Moments as text, cut off to what was written, compare as the moments do.
        def read(record: ImageRecord) -> str | None:
            if not record.taken_at:
                return None
            taken = datetime.fromtimestamp(record.taken_at, timezone.utc)
            return taken.strftime("%Y-%m-%dT%H:%M:%S")[: len(written)]

        return Said(f"taken_at {sign} {written}", comparing(read, sign, written))

    def listed(name: str, values: list[int], word: str) -> Said:
        return Said(
            f"{name} {word} {values}", lambda r: (getattr(r, name) in values) == (word == "in")
        )

    sizes = [("1MB", 10**6), ("1 MiB", 2**20), ("0.005 GB", 5_000_000), ("999999", 999_999)]
    dates = ["2025", "2025-06", "2025-06-01", "2025-06-01T12:30", "2025-01-01T00:00:00", "1969"]
    sides = st.sampled_from(["width", "height"])
    return st.one_of(
        st.builds(whole, sides, SIGNS, st.sampled_from([0, 1, 2, 4, 100, -5])),
        st.builds(size, st.sampled_from(["size", "size_bytes"]), SIGNS, st.sampled_from(sizes)),
        st.builds(text, st.just("format"), SIGNS, st.sampled_from(["jpeg", "png", "J", "%"])),
        st.builds(text, st.just("path"), SIGNS, st.sampled_from([r.path for r in ROWS[:9]])),
        st.builds(under, st.sampled_from([*FOLDERS, "/a/", "/nothing"])),
        st.builds(moment, SIGNS, st.sampled_from(dates)),
        st.builds(listed, sides, st.lists(st.sampled_from([1, 2, 4, 9]), min_size=1), st.sampled_from(["in", "not in"])),
        st.sampled_from([
            Said("animated", lambda record: record.animated),
            Said("animated = FALSE", lambda record: not record.animated),
            Said("taken_at is missing", lambda record: record.taken_at == 0),
            Said("taken_at is not missing", lambda record: record.taken_at != 0),
            Said("width is missing", lambda record: False),
            Said("label is missing", lambda record: "label" not in record.metadata),
            Said("rating is not missing", lambda record: "rating" in record.metadata),
            Said("mixed is missing", lambda record: record.metadata.get("mixed") is None),
        ]),
    )  # fmt: skip


def negated(part: Said) -> Said:
    def meets(record: ImageRecord) -> bool | None:
        met = part.meets(record)
        return None if met is None else not met

    return Said(f"not ({part.text})", meets)


def joined(word: str, parts: list[Said]) -> Said:
    decisive = word == "or"

    def meets(record: ImageRecord) -> bool | None:
        met = [part.meets(record) for part in parts]
        if decisive in met:
            return decisive
        return None if None in met else not decisive

    return Said(f" {word} ".join(f"({part.text})" for part in parts), meets)


leaves = st.one_of(own_text(), own_number(), own_boolean(), own_list(), facts())
filters = st.recursive(
    leaves,
    lambda parts: st.one_of(
        st.builds(negated, parts),
        st.builds(joined, st.sampled_from(["and", "or"]), st.lists(parts, min_size=2, max_size=3)),
    ),
    max_leaves=6,
)
seeded = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@seeded
@given(said=filters)
def test_a_filter_finds_the_rows_that_meet_it(store: MilvusStore, said: Said) -> None:
    assert found(store, said.text) == {row.path for row in ROWS if said.meets(row) is True}
