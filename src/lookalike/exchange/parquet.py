"""All rows as one Parquet file, which pandas reads alone.

The user's own fields are one column of JSON text: as columns, 1, 1.0 and true would not stay apart,
nor an absent value and None. The file's own metadata say which model the vectors are from.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from lookalike.exchange.replacing import replacing
from lookalike.exchange.rows import PHASH_COLUMN, Unusable, facts_of, model_of, record_of
from lookalike.records import ImageRecord
from lookalike.store.schema import ANIMATED_FIELD, VECTOR_FIELD, CollectionModel

GROUP_BYTES = 16_000_000
# A group is unpacked in memory; those that are written here have the above and one page more.
LARGEST_GROUP_BYTES = 512_000_000
READ_ROWS = 512
_TEXTS = ("id", "path", "content")
_INTEGERS = ("size_bytes", "mtime_ns", "width", "height", "taken_at")


def write(file: Path, pages: Iterable[list[ImageRecord]], model: CollectionModel) -> int:
    """Write all rows; an existing file is replaced when all are written.

    Returns:
        How many rows there were.
    """
    schema = _schema(model)
    rows = 0
    with replacing(file) as stream, parquet.ParquetWriter(stream, schema) as writer:
        waiting: list[Any] = []
        for page in filter(None, pages):
            waiting.append(_batch(page, schema, model.dim))
            rows += len(page)
            if sum(batch.nbytes for batch in waiting) >= GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema))
    return rows


def read_model(file: Path) -> CollectionModel:
    """The model that a file's vectors are from.

    Raises:
        Unusable: it is not such a file.
    """
    with _opened(file) as opened:
        return _checked_model(opened)


def pages(file: Path) -> Iterator[list[ImageRecord]]:
    """All rows, in pages.

    Raises:
        Unusable: it is damaged, or holds what is no row.
    """
    with _opened(file) as opened:
        model = _checked_model(opened)
        for batch in opened.iter_batches(batch_size=READ_ROWS):
            numbers = batch.column(VECTOR_FIELD).flatten()
            if numbers.null_count or any(column.null_count for column in batch.columns):
                raise Unusable("a row lacks a value")
            vectors = numbers.to_numpy().reshape(-1, model.dim)
            found = batch.drop_columns([VECTOR_FIELD]).to_pylist()
            yield [
                record_of({**facts, "metadata": _fields(facts["metadata"])}, vector)
                for facts, vector in zip(found, vectors, strict=True)
            ]


def _schema(model: CollectionModel) -> Any:
    def column(name: str, kind: Any) -> Any:
        return pa.field(name, kind, nullable=False)

    number = column("element", pa.float32())
    return pa.schema(
        [
            *(column(name, pa.string()) for name in _TEXTS),
            *(column(name, pa.int64()) for name in _INTEGERS),
            column("format", pa.string()),
            column(ANIMATED_FIELD, pa.bool_()),
            column(PHASH_COLUMN, pa.string()),
            column("metadata", pa.string()),
            column(VECTOR_FIELD, pa.list_(number, model.dim)),
        ],
        metadata=model.to_properties(),
    )


def _batch(page: list[ImageRecord], schema: Any, dim: int) -> Any:
    rows = [facts_of(record) for record in page]
    for row in rows:
        row["metadata"] = json.dumps(row["metadata"], ensure_ascii=False)
    numbers = pa.array(np.concatenate([record.vector for record in page]))
    vectors = pa.FixedSizeListArray.from_arrays(numbers, type=schema.field(VECTOR_FIELD).type)
    facts = [
        pa.array([row[field.name] for row in rows], field.type)
        for field in schema
        if field.name != VECTOR_FIELD
    ]
    return pa.record_batch([*facts, vectors], schema=schema)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Whatever Arrow says of the file's content becomes `Unusable`."""
    with file.open("rb") as stream:
        try:
            with parquet.ParquetFile(stream) as opened:
                yield opened
        except Unusable:
            raise
        # Arrow's own errors are ValueError and others; of damaged pages it raises OSError.
        except (pa.ArrowException, ValueError, OSError, OverflowError, MemoryError) as error:
            raise Unusable(f"it is damaged, or no Parquet file ({_line(error)})") from error


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _checked_model(opened: Any) -> CollectionModel:
    found = opened.schema_arrow
    stored = found.metadata or {}
    model = model_of({key.decode(): value.decode() for key, value in stored.items()})
    expected = _schema(model)
    if not found.equals(expected):
        wrong = [name for name in expected.names if name not in found.names]
        wrong += [field.name for field in found if field.name not in expected.names]
        wrong += [
            field.name for field in expected
            if field.name in found.names and not found.field(field.name).equals(field)
        ]  # fmt: skip
        named = ", ".join(wrong) or ", ".join(found.names)
        raise Unusable(f"its columns are not those of an export; see: {named}")
    groups = (opened.metadata.row_group(n) for n in range(opened.metadata.num_row_groups))
    if any(group.total_byte_size > LARGEST_GROUP_BYTES for group in groups):
        raise Unusable(f"it has a row group of more than {LARGEST_GROUP_BYTES} bytes")
    return model


def _fields(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"the metadata of a row are no JSON ({_line(error)})") from error
