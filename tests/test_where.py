"""Filters mean what they say, in Milvus Lite and on a server, whatever the fields hold."""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.errors import InvalidQuestion
from lookalike.query.conditions import condition_of
from lookalike.records import ImageRecord, Stamp, row_id
from lookalike.store.filters import compare_own
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
        st.builds(
            listed,
            sides,
            st.lists(st.sampled_from([1, 2, 4, 9]), min_size=1),
            st.sampled_from(["in", "not in"]),
        ),
        st.sampled_from([
            Said("animated", lambda record: record.animated),
            Said("animated = FALSE", lambda record: not record.animated),
            Said("taken_at is missing", lambda record: record.taken_at == 0),
            Said("taken_at is not missing", lambda record: record.taken_at != 0),
            Said("width is missing", lambda record: False),
            Said("label is missing", lambda record: "label" not in record.metadata),
            Said("rating is not missing", lambda record: "rating" in record.metadata),
            Said("in is missing", lambda record: "in" not in record.metadata),
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


class Own:
    """What is known of own fields, without a database."""

    def kinds(self) -> dict[str, frozenset[type]]:
        return {"label": frozenset({str}), "tags": frozenset({list}), "path": frozenset({str})}

    def any(self, condition: str) -> bool:
        return False


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("widht > 1000", 1, "unknown field 'widht'; did you mean width?"),
        ("width > 1 and lable = 'x'", 15, "unknown field 'lable'; did you mean label?"),
        ("xyzzy is missing", 1, "unknown field 'xyzzy'; there are animated, content,"),
        ("label > 5", 9, "label holds text, not numbers"),
        ("label", 1, "label holds text, not true or false"),
        ("tags = 'x'", 8, "tags holds lists, not text"),
        ("width = 'x'", 9, "width takes a whole number"),
        ("width = 1.5", 9, "width takes a whole number"),
        ("width > 2MB", 9, "width takes a whole number"),
        ("size > 1.5", 8, "size takes a whole number, or a size like 2MB"),
        ("size > 99999999 TB", 8, "size takes a whole number, or a size"),
        ("format = 5", 10, "format takes a text in quotes"),
        ("path in ['a', 5]", 15, "path takes a text in quotes"),
        ("format under '/a'", 1, "only path can be under a folder, not format"),
        ("width", 1, "compare width with something"),
        ("taken_at > 'summer'", 12, "taken_at takes a date like 2025-06-01"),
        ("taken_at > 2025-13", 12, "taken_at takes a date like"),
        ("taken_at > 2025-02-30", 12, "taken_at takes a date like"),
        ("modified_at > 3000", 15, "beyond what mtime_ns can hold"),
        ("label = 2025-06-01", 9, "only taken_at and modified_at are dates"),
        ("label = 2MB", 9, "only size has units"),
        ("label = 99999999999999999999", 9, "this number is too large"),
        ("label = 1e999", 9, "this number is too large"),
        ("label > true", 9, "true and false have no order; write: label = true"),
        ("animated = 1", 12, "animated is true or false"),
        ("label = cat", 9, 'a text stands in quotes: "cat"'),
        ('label = "cat', 9, 'the text that begins here has no closing "'),
        ("label = 'it''s'", 13, "is not expected here"),
        ('label = "a\\d"', 11, "a \\ in a text stands before a quote"),
        ("(width > 1", 11, "a ( is not closed; add a )"),
        ("width > 1)", 10, "')' is not expected here"),
        ("width >", 8, "the filter ends where more is expected"),
        ("width > 1 and", 14, "the filter ends where more is expected"),
        ("width > 1 width < 5", 11, "'width' is not expected here"),
        ("width ~ 5", 7, "'~' is not expected here"),
        ("label in []", 11, "']' is not expected here"),
        ("1 < width", 1, "'1' is not expected here"),
        ("width > 1" + "0" * 5000, 9, "this number is too large"),
        ("width > 1 and label = '\udcff'", 24, "this is not valid UTF-8"),
        ("path under 'foo://x'", 12, "this is neither a folder nor an address"),
        ("(" * 21 + "width > 1" + ")" * 21, 21, "nested more than 20 deep"),
    ],
)
def test_what_is_wrong_is_said_with_its_column(text: str, column: int, said: str) -> None:
    with pytest.raises(InvalidQuestion) as caught:
        condition_of(text, Own())
    message = str(caught.value)
    assert message.startswith(f"where: column {column}: ")
    assert said in message
    assert "\n" not in message


def test_an_empty_and_an_endless_filter_are_refused() -> None:
    for text, said in (
        ("  ", "is empty"),
        ("a" * 10_001, "at most 10,000 characters"),
        (" or ".join(["width > 1"] * 501), "501 comparisons"),
        (f"label in [{', '.join(['1'] * 501)}]", "comparisons"),
    ):
        with pytest.raises(InvalidQuestion, match=said):
            condition_of(text, Known())


def test_numbers_are_seconds_unless_the_field_is_named_with_another_unit() -> None:
    named = condition_of("modified_at > 86400", Known())
    assert named == condition_of("modified_at > '1970-01-02T00:00:00'", Known())
    assert named != condition_of("mtime_ns > 86400", Known())
    assert condition_of("width > 1e3", Known()) == condition_of("width > 1000", Known())


def test_an_own_field_comes_before_another_name_for_one_that_every_row_has() -> None:
    class Shop(Known):
        def kinds(self) -> dict[str, frozenset[type]]:
            return {"size": frozenset({str})}

    assert condition_of('size = "XL"', Shop()) == compare_own("size", "==", "XL")
    assert condition_of("size > 2MB", Known()) == "size_bytes > 2000000"


class Known(Own):
    """Every field is known to hold everything."""

    def any(self, condition: str) -> bool:
        return True


@seeded
@given(text=st.text(alphabet="widthlabe =<>!()[]\"'\\,0123.-andornotTZ:MB\n🦔", max_size=30))
def test_whatever_is_typed_is_a_filter_or_refused(text: str) -> None:
    try:
        condition = condition_of(text, Known())
    except InvalidQuestion:
        return
    assert condition


def test_the_largest_filter_is_answered(store: MilvusStore) -> None:
    many = " or ".join(f'label = "{number}"' for number in range(450))
    deep = "width = 1 and (height = 4 or (" * 9 + "width = 7" + "))" * 9
    expected = {row.path for row in ROWS if row.metadata.get("label") == "5" or row.width == 1}
    assert found(store, f"({many}) or ({deep})") == expected


def test_own_fields_that_are_rare_are_known_all_the_same(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = ImageRecord(
        path="/rare.jpg",
        content="0" * 32,
        stamp=Stamp(1, 1),
        width=1,
        height=1,
        taken_at=0,
        format="jpeg",
        vector=np.eye(DIM, dtype=np.float32)[0],
        metadata={"unusual": 5},
    )
    with pytest.raises(InvalidQuestion, match="unknown field 'unusual'"):
        condition_of("unusual = 5", store)
    store.upsert([rare])
    known = {**store.kinds()}
    assert known.pop("unusual") == {int}
    # As if it were in none of the rows of the sample.
    monkeypatch.setattr(store, "kinds", lambda: known)
    assert found(store, "unusual = 5") == {"/rare.jpg"}
    with pytest.raises(InvalidQuestion, match="unknown field 'unusua'"):
        condition_of("unusua = 5", store)
    store.delete([row_id("/rare.jpg")])


def test_in_an_empty_index_every_field_is_possible(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = CollectionModel(model="test", fingerprint="f", dim=DIM)
    empty = new_place("lite", tmp_path_factory.mktemp("empty"), request).open(model)
    assert found(empty, 'anything = "x" or other is missing') == set()
    empty.close()


def test_a_null_counts_as_missing_in_milvus_lite(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = CollectionModel(model="test", fingerprint="f", dim=DIM)
    lite = new_place("lite", tmp_path_factory.mktemp("null"), request).open(model)
    lite.upsert(ROWS)
    assert found(lite, "mixed is missing") == {
        row.path for row in ROWS if row.metadata.get("mixed") is None
    }
    lite.close()


def test_dates_may_have_an_offset_and_folders_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert condition_of('path under "~/Italy"', Own()) == (
        '(path >= "/home/me/Italy/" and path < "/home/me/Italy0")'
    )
    at = seconds("2025-06-01 10:00:00")
    written = condition_of("taken_at = 2025-06-01T12:00:00+02:00", Own())
    assert written == f"(taken_at >= {at} and taken_at <= {at} and taken_at != 0)"
    assert condition_of("taken_at >= 1748772000", Own()).startswith(f"(taken_at >= {at} ")


@pytest.mark.parametrize("name", ["README.md", "docs/filters.md"])
def test_the_filters_in_the_documents_are_filters(name: str) -> None:
    document = (Path(__file__).parents[1] / name).read_text(encoding="utf-8")
    shown = re.findall(r"--where '([^']*)'", document)
    shown += re.findall(r"`([a-z_]+ (?:=|under|is) [^`]*)`", document)
    assert len(shown) >= (5 if name.startswith("docs") else 1)
    for text in shown:
        assert condition_of(text, Known())
