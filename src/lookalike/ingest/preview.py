"""What an indexing run would do. Files are read only to see whether they are known elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lookalike.errors import PictureError
from lookalike.ingest.metadata import outdated
from lookalike.ingest.pipeline import content_of
from lookalike.ingest.plan import Task, changes, with_twins
from lookalike.ingest.scan import Scan
from lookalike.ingest.sync import Store, chunks, given_fields, gone, suspended
from lookalike.records import Change, Fields, ImageFile, Skipped, Twin, row_id
from lookalike.settings import Settings
from lookalike.sources.reader import Reader


def preview(
    scan: Scan,
    *,
    store: Store,
    settings: Settings,
    checksum: bool = False,
    fields_of: Callable[[str], Fields | None] | None = None,
) -> Iterator[Change]:
    """The changes that `sync` would make, as far as can be told without decoding a picture."""
    came_from: dict[str, Twin] = {}  # new path -> a row of the same bytes
    reader = Reader.of(settings)
    for found in chunks(scan):
        yield from (_skip(item) for item in found if isinstance(item, Skipped))
        files = [item for item in found if isinstance(item, ImageFile)]
        given = given_fields(files, fields_of)
        other_fields = set(outdated(given, store))
        changed = with_twins(changes(files, store.stamps, checksum=checksum), store.of_size)
        for task in changed:
            path, key = task.file.path, row_id(task.file.path)
            try:
                twin = _twin(task, reader, store)
            except PictureError as error:
                yield Change("skip", path, error.reason)
                continue
            if task.known:
                if twin and twin.id == key and store.stamps([key]).get(key) == task.file.stamp:
                    continue
                other_fields.discard(key)
                yield Change("update", path)
            elif twin:
                came_from[path] = twin
            else:
                yield Change("add", path)
        yield from (Change("update", path) for path in given if row_id(path) in other_fields)
    reader.close()
    yield from _moves_and_removals(scan, store, came_from)
    yield from map(_skip, suspended(scan, store))


def _moves_and_removals(scan: Scan, store: Store, came_from: dict[str, Twin]) -> Iterator[Change]:
    sources = {twin.id for twin in came_from.values()}
    removed = dict(pair for page in gone(scan, store, moved_from=sources) for pair in page)
    for path, twin in came_from.items():
        if twin.id in removed and not scan.exists(twin.path):
            yield Change("move", path, removed.pop(twin.id))
        else:
            yield Change("add", path)
    yield from (Change("remove", path) for path in removed.values())


def _twin(task: Task, reader: Reader, store: Store) -> Twin | None:
    """A row of the same bytes, the file's own if that is one."""
    if not task.twins:
        return None
    content = content_of(reader.read(task.file.path)[0])
    alike = {twin.id: twin for twin in task.twins if twin.content == content}
    # Rows that have been replaced may be among them.
    current = store.records(list(alike))
    twins = [alike[row_id(record.path)] for record in current if record.content == content]
    return min(twins, key=lambda twin: twin.path != task.file.path, default=None)


def _skip(item: Skipped) -> Change:
    return Change("skip", item.path, item.reason)


def first_run(scan: Scan) -> Iterator[Change]:
    """The changes where there is no index yet."""
    for item in scan:
        yield _skip(item) if isinstance(item, Skipped) else Change("add", item.path)
