"""An index goes to another place, with all that it knows."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.errors import InvalidSetting, TenantMismatch
from lookalike.keeping import Keeping
from lookalike.opening_rows import is_same_database, open_existing, open_like
from lookalike.reports import CopyProgress, CopyReport, ImportReport
from lookalike.settings import Settings
from lookalike.sources.names import absolute
from lookalike.store.design import known_tenant

if TYPE_CHECKING:
    from lookalike.store import Store
    from lookalike.store.design import CollectionDesign

Place = str | os.PathLike[str]


class Moving(Keeping):
    """What takes an `Index` elsewhere."""

    def export(self, target: str | os.PathLike[str]) -> int:
        """Write all rows with their vectors into files that other programs read.

        Memory does not grow with the index. Files that are there are replaced, as a whole.

        Args:
            target: ``FILE.parquet``; or ``FILE.npy``, beside which ``FILE.jsonl`` and ``FILE.json``
                are written; or a folder, for ``vectors.npy``, ``rows.jsonl`` and ``model.json``.

        Returns:
            How many rows were written.

        Raises:
            InvalidSetting: the name is none of these.
            OSError: it cannot be written; what was there before still is.
        """
        # Imported here, and below: Arrow is loaded for this alone.
        from lookalike.exchange import export  # noqa: PLC0415

        return export.write(self._store, Path(absolute(target)))

    @classmethod
    def import_rows(
        cls,
        source: str | os.PathLike[str],
        database: str | os.PathLike[str] | None = None,
        *,
        token: str | None = None,
        collection: str = "images",
        tenant: str | None = None,
        settings: Settings | None = None,
    ) -> ImportReport:
        """Put all rows of an export into an index, which is made where there is none.

        Rows of the same paths are replaced. Nothing is embedded, and the model need not be on this
        machine.

        Args:
            source: what `export` wrote.
            database: as in `Index.open`.
            token: as in `Index.open`.
            collection: as in `Index.open`.
            tenant: as in `Index.open`.
            settings: by default from the environment variables.

        Raises:
            ExportUnusable: it is no export, or damaged; nothing was changed.
            ModelMismatch: the index was made with another model; nothing was changed.
            StoreError: the database failed.
        """
        from lookalike.exchange.export import Export  # noqa: PLC0415

        found = Export(Path(absolute(source)))
        store = open_like(
            found.model,
            database,
            token=token,
            collection=collection,
            tenant=known_tenant(tenant),
            export=os.fspath(source),
            settings=settings or Settings.from_environment(),
        )
        with contextlib.closing(store):
            found.put_into(store)
            return ImportReport(rows=found.rows, total=store.count(), database=store.database)

    @classmethod
    def copy(
        cls,
        source: Place,
        target: Place,
        *,
        token: str | None = None,
        to_token: str | None = None,
        collection: str = "images",
        to_collection: str | None = None,
        tenant: str | None = None,
        to_tenant: str | None = None,
        design: CollectionDesign | None = None,
        exact: bool = False,
        rewrite: bool = False,
        on_progress: Callable[[CopyProgress], None] | None = None,
        settings: Settings | None = None,
    ) -> CopyReport:
        """Copy all rows with their vectors; nothing is embedded, and no picture is opened.

        Rows pass through page by page; only Milvus Lite itself holds all in memory. Into a database
        only those rows are written that it does not have as they are in the source, so a copy that
        was interrupted is completed by running it again. An export is written as a whole. At the
        end rows are counted, and 1,000 of them compared with the source's.

        Args:
            source: a database as in `Index.open`, or what `export` wrote.
            target: likewise; it is made where there is none.
            token: for the source, where that is a server.
            to_token: for the target.
            collection: name of the source's collection.
            to_collection: name of the target's; by default the same.
            tenant: whose rows, of a source that several share.
            to_tenant: whose they shall be, in a target that several share.
            design: how a new target is kept; by default as the source is, if that is a server, too.
            exact: remove rows of the target that the source does not have.
            rewrite: write rows, too, whose facts and fields the target has already.
            on_progress: is called in this thread, now and then; what it raises ends the copy.
            settings: by default from the environment variables.

        Raises:
            InvalidSetting: source and target are the same, or `exact` cannot be had.
            ExportUnusable: the source is no export, or a damaged one.
            ModelMismatch: the target was made with another model; nothing was changed.
            CopyIncomplete: the target has fewer rows than it must.
            CopyDiffers: a row has not arrived as it was.
            StoreError: one of the databases failed; everything written before that is kept.
        """
        started = time.perf_counter()
        settings = settings or Settings.from_environment()
        from_file, to_file = _is_export(source), _is_export(target)
        if exact and (from_file or to_file):
            raise InvalidSetting("exact", exact, "left out where one of both is an export")
        to_collection = to_collection or collection
        names = (
            {None} if from_file and to_file else {(collection, tenant), (to_collection, to_tenant)}
        )
        if from_file == to_file and len(names) == 1 and is_same_database(source, target):
            raise InvalidSetting("the target", os.fspath(target), "another than the source")
        # Imported here: searches do without.
        from lookalike.exchange import copying, export  # noqa: PLC0415

        with contextlib.ExitStack() as opened:
            rows: export.Rows
            if from_file:
                rows, known = export.Export(Path(absolute(source))), None
            else:
                with _named_by("--tenant"):
                    rows = known = open_existing(
                        source,
                        token=token,
                        collection=collection,
                        tenant=tenant,
                        settings=settings,
                    )
                opened.enter_context(contextlib.closing(known))
            if to_file:
                place = Path(absolute(target))
                copied = export.copy(rows, place, on_progress=on_progress)
                total, shown = copied.rows, os.fspath(target)
            else:
                if design is None and known and "://" in os.fspath(target):
                    design = known.design
                with _named_by("--to-tenant"):
                    into = open_like(
                        rows.model,
                        target,
                        token=to_token,
                        collection=to_collection,
                        tenant=to_tenant,
                        export=os.fspath(source),
                        settings=settings,
                        design=design,
                        otherwise="copy it into another database, or with --to-collection",
                    )
                opened.enter_context(contextlib.closing(into))
                if known and tenant == to_tenant and _is_same(known, into):
                    raise InvalidSetting("the target", to_collection, "another than the source")
                copied = copying.copy(
                    rows,
                    into,
                    rewrite=rewrite,
                    others_from=known if exact else None,
                    on_progress=on_progress,
                )
                total, shown = into.count(), into.database
        return CopyReport(
            rows=copied.rows,
            written=copied.written,
            removed=copied.removed,
            checked=copied.checked,
            total=total,
            target=shown,
            seconds=time.perf_counter() - started,
        )


@contextlib.contextmanager
def _named_by(option: str) -> Iterator[None]:
    """Let an error say how the tenant of this side of a copy is named."""
    try:
        yield
    except TenantMismatch as error:
        raise TenantMismatch(
            error.database, error.collection, shared=error.shared, option=option
        ) from error


def _is_same(one: Store, other: Store) -> bool:
    return (one.database, one.collection) == (other.database, other.collection)


def _is_export(place: Place) -> bool:
    written = os.fspath(place)
    return "://" not in written and not written.rstrip("/\\").endswith(".db")
