"""An index gets another model, while it is searched with the one it has."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from lookalike.embed.catalog import load_embedder
from lookalike.embed.embedder import Embedder
from lookalike.errors import IndexIncompatible, InvalidSetting, NothingBefore
from lookalike.keeping import Keeping
from lookalike.opening_rows import open_itself
from lookalike.records import Progress
from lookalike.reports import ReindexReport
from lookalike.settings import Settings
from lookalike.store.schema import CollectionModel
from lookalike.store.versions import beside

if TYPE_CHECKING:
    from lookalike.store.design import CollectionDesign
    from lookalike.store.milvus import MilvusStore

Opened = Callable[..., contextlib.AbstractContextManager["MilvusStore"]]


class Renewing(Keeping):
    """What gives an `Index` another model."""

    @classmethod
    def reindex(
        cls,
        database: str | os.PathLike[str] | None = None,
        *,
        model: str | Embedder,
        weights: str | os.PathLike[str] | None = None,
        token: str | None = None,
        collection: str = "images",
        labels: Callable[[Collection[str]], Mapping[str, str]] | None = None,
        allow_missing: bool = False,
        swap: bool = True,
        settings: Settings | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> ReindexReport:
        """Embed all pictures of an index with another model, and let the result take its place.

        They go into a second collection of the database, from the files that the rows name, with
        the user's own fields. Until the end the index is as it was; then the name leads to the
        second collection, in one step. Who has opened the index before stays with the first, which
        is kept for `rollback`. A run that was killed is completed by running it again.

        Args:
            database: as in `Index.open`; no server may have it open.
            model: a model's name or an embedder.
            weights: a checkpoint of the named model.
            token: as in `Index.open`.
            collection: name of the collection.
            labels: paths -> labels, to measure both models with; None leaves that out.
            allow_missing: let it take the place even if pictures could not be embedded, whose rows
                are lost by that, or if the index was in the second collection before, and that has
                rows of pictures that are not in the index any more.
            swap: let it take the place at all.
            settings: by default from the environment variables.
            on_progress: is called in this thread after every batch; what it raises ends the run.

        Raises:
            InvalidSetting: the index has this model, or no rows.
            TenantsShareIt: the collection belongs to several tenants.
            ModelError: the model cannot be had.
            StoreError: the database failed; everything committed before that is kept.
        """
        started = time.perf_counter()
        settings = settings or Settings.from_environment()
        opened = _opener(database, token, settings)
        # Imported here: searches do without.
        from lookalike.renewal.compare import compare  # noqa: PLC0415
        from lookalike.renewal.rebuild import Rebuild  # noqa: PLC0415
        from lookalike.store.tuning import keep_level  # noqa: PLC0415

        with opened(collection) as old:
            embedder = (
                load_embedder(model, weights=weights, settings=settings)
                if isinstance(model, str)
                else model
            )
            if embedder.fingerprint == old.model.fingerprint:
                raise InvalidSetting("the model", embedder.name, "another than the index has")
            if not old.count():
                raise InvalidSetting("the collection", collection, "one with rows; it has none")
            embedder.load()  # What it lacks must not leave an empty collection behind.
            made_for = CollectionModel(
                model=embedder.name,
                fingerprint=embedder.fingerprint,
                dim=embedder.dim,
                metric=old.model.metric,
            )
            with _new(opened, old, made_for) as new:
                rebuild = Rebuild(
                    old, new, embedder=embedder, settings=settings, on_progress=on_progress
                )
                done = rebuild.follow()
                comparison = compare(old, new, labels=labels or (lambda paths: {}))
                lost = removed = 0
                takes_place = swap and (allow_missing or not done.skipped)
                if takes_place and not allow_missing and new.collection == old.versions.before:
                    lost = rebuild.others()
                    takes_place = not lost
                if takes_place:
                    removed = rebuild.remove_others()
                    done = rebuild.follow()  # What was written while both were asked.
                    takes_place = allow_missing or not done.skipped
                if takes_place:
                    if old.level is not None:
                        keep_level(new, old.level)
                    old.versions.use(new.collection)
                return ReindexReport(
                    database=old.database,
                    collection=old.name,
                    before=(old.model.model, old.model.fingerprint, old.collection),
                    after=(made_for.model, made_for.fingerprint, new.collection),
                    embedded=done.embedded,
                    unchanged=done.unchanged,
                    removed=removed,
                    skipped=done.skipped,
                    total=new.count(),
                    comparison=comparison,
                    swapped=takes_place,
                    seconds=time.perf_counter() - started,
                    lost=lost,
                    untuned=bool(new.effort.parameter) and new.curve is None,
                )

    @classmethod
    def rollback(
        cls,
        database: str | os.PathLike[str] | None = None,
        *,
        token: str | None = None,
        collection: str = "images",
        settings: Settings | None = None,
    ) -> str:
        """Go back to the collection that `reindex` has replaced; doing it again undoes it.

        Returns:
            The name of the collection that is in use now.

        Raises:
            NothingBefore: there is none.
            StoreError: the database failed.
        """
        opened = _opener(database, token, settings or Settings.from_environment())
        with opened(collection) as store:
            before = store.versions.before
            if before is None:
                raise NothingBefore(store.database, collection)
            store.versions.use(before)
            return before

    @classmethod
    def drop_old(
        cls,
        database: str | os.PathLike[str] | None = None,
        *,
        token: str | None = None,
        collection: str = "images",
        settings: Settings | None = None,
    ) -> list[str]:
        """Do away with all that `reindex` has made or replaced and that is not in use.

        That is what it has left unfinished, too. There is no way back then. A run that was killed
        is completed by running it again.

        Returns:
            The names of the collections that are gone. One that has the name of the index stays,
            empty, for it says where the rows are.

        Raises:
            NothingBefore: there is none.
            StoreError: the database failed.
        """
        opened = _opener(database, token, settings or Settings.from_environment())
        with opened(collection) as store:
            versions = store.versions
            before, first = versions.before, versions.first
            gone = versions.drop_others()
            # Before its rows go: nobody is to come back to half of them.
            versions.forget_before()
            if first:
                with opened(first, follow=False) as old:
                    if old.count() or before == first:
                        gone.append(first)
                    for page in old.paths_under(None):
                        old.delete([key for key, _ in page])
                    old.flush()
            if not gone:
                raise NothingBefore(store.database, collection)
            return gone


def _opener(
    database: str | os.PathLike[str] | None, token: str | None, settings: Settings
) -> Opened:
    @contextlib.contextmanager
    def opened(
        collection: str,
        *,
        create: CollectionModel | None = None,
        design: CollectionDesign | None = None,
        follow: bool = True,
    ) -> Iterator[MilvusStore]:
        store = open_itself(
            database,
            token=token,
            collection=collection,
            create=create,
            design=design,
            follow=follow,
            settings=settings,
        )
        with contextlib.closing(store):
            yield store

    return opened


@contextlib.contextmanager
def _new(opened: Opened, old: MilvusStore, model: CollectionModel) -> Iterator[MilvusStore]:
    """The collection beside the old one, made where there is none.

    It may be the one that has the name of the index, which has been replaced before.
    """
    if old.collection != old.name:
        with opened(old.name, follow=False) as first:
            if first.model.fingerprint == model.fingerprint and first.collection == old.name:
                yield first
                return
    name = beside(old.name, model)
    with opened(name, create=model, design=old.design, follow=False) as new:
        if new.model.fingerprint != model.fingerprint:
            raise IndexIncompatible(
                f"The collection {new.collection!r} in {new.database} has vectors of another model "
                f"({new.model.model}); drop it, or rename it."
            )
        yield new
