"""The front door: an index of pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType

from lookalike.asking import Asking
from lookalike.browsing import Browsing
from lookalike.deduplicating import Deduplicating
from lookalike.embed.embedder import Embedder
from lookalike.errors import DesignUnavailable
from lookalike.insight.evaluation import Evaluation, evaluate
from lookalike.insight.groups import Clustering, clusters
from lookalike.moving import Moving
from lookalike.opening import open_store
from lookalike.query.answer import MAX_LIMIT
from lookalike.records import IndexInfo
from lookalike.renewing import Renewing
from lookalike.settings import Settings
from lookalike.sources.names import absolute
from lookalike.store.design import LITE_IS_EXACT, CollectionDesign
from lookalike.store.effort import USUAL_LEVEL, Curve, known_level
from lookalike.store.served import ServedStore

__all__ = ["MAX_LIMIT", "Index"]


class Index(Asking, Browsing, Deduplicating, Moving, Renewing):
    """The pictures of some folders and what they look like, kept in a database.

    Made by `Index.open`; a context manager. Methods may be called from several threads.
    """

    @classmethod
    def open(
        cls,
        database: str | os.PathLike[str] | None = None,
        *,
        token: str | None = None,
        model: str | Embedder | None = None,
        weights: str | os.PathLike[str] | None = None,
        calibration: Iterable[str | os.PathLike[str]] | None = None,
        collection: str = "images",
        metric: str | None = None,
        create: bool = True,
        preload: bool = False,
        design: CollectionDesign | None = None,
        tenant: str | None = None,
        recall: float | None = None,
        settings: Settings | None = None,
    ) -> Index:
        """Open an index, or make an empty one.

        Args:
            database: path of a Milvus Lite database, ending in ``.db``, or the address of a Milvus
                server, ``http(s)://HOST[:PORT][/DATABASE]``; by default ``lookalike/images.db`` in
                the platform's folder for user data.
            token: ``USER:PASSWORD`` or an API key, for a server; a local database needs none.
            model: a model's name or an embedder; by default the one that the index was made with,
                and the packaged one for a new index.
            weights: a checkpoint of the named model, instead of timm's own.
            calibration: folders and pictures that a model of the precision ``int8`` is calibrated
                on, for a new index.
            collection: name of the collection within the database.
            metric: COSINE, IP or L2, settled when the index is made; by default COSINE for a new
                one, and whatever an existing one has.
            create: make the index where there is none.
            preload: load the model in the background at once, not when it is first needed.
            design: how a new collection on a server is kept; by default exact, and whatever an
                existing one is.
            tenant: whose pictures these are, in a collection that several tenants share; a new one
                is made for several where this is given. Nothing of the others is seen or changed.
            recall: the share of the 10 nearest pictures that searches of an approximate index shall
                find, as `tune` has measured; by default what the index remembers.
            settings: by default from the environment variables.

        Raises:
            ModelError: the model is unknown, or not the one that the index was made with.
            InvalidSetting: there is no such metric, tenant or recall.
            StoreError: the database cannot be opened, or is kept in another way.
        """
        settings = settings or Settings.from_environment()
        store, embedder = open_store(
            database,
            token=token,
            model=model,
            weights=weights,
            calibration=calibration,
            collection=collection,
            metric=metric,
            create=create,
            preload=preload,
            design=design,
            tenant=tenant,
            recall=recall,
            settings=settings,
        )
        return cls(store, embedder=embedder, settings=settings)

    def clusters(self, k: int | None = None, *, least: int = 5, seed: int = 0) -> Clustering:
        """Groups of pictures that look alike, the largest first.

        With `k` every picture is in the nearest of so many groups (k-means). Without, groups are
        where pictures lie close together (HDBSCAN), and others are in none. Of a large index the
        groups are those of a sample: see `insight.groups`.

        Args:
            k: how many groups.
            least: how many pictures a group has at least, without `k`.
            seed: where k-means begins.

        Raises:
            ExtraMissing: scikit-learn is not installed.
            InvalidSetting: there cannot be so many groups, or groups so small.
        """
        return clusters(self._store, k=k, least=least, seed=seed)

    def evaluate(self, labels: Mapping[str, str]) -> Evaluation:
        """How often the nearest pictures have the same label, each asked against all others.

        Args:
            labels: path -> label; pictures of the index without one are left out.

        Raises:
            LabelsUnusable: all labels are the same, or all are different.
        """
        return evaluate(self._store, {absolute(path): label for path, label in labels.items()})

    def tune(
        self,
        *,
        questions: int = 100,
        recall: float | None = None,
        profile: str | None = None,
        on_wait: Callable[[int], None] | None = None,
    ) -> Curve | None:
        """Measure what recall searches have, by how much of an approximate index they look at.

        The collection keeps the curve, and later searches follow it. All vectors are read once.

        Args:
            questions: how many pictures of the index are asked with.
            recall: the level that searches shall have from now on; else 0.95.
            profile: make the index again as this profile first, on a server; meanwhile the
                collection cannot be searched.
            on_wait: is called now and then with how many rows are not in the index yet.

        Returns:
            The curve; None where every vector is compared, which is exact.

        Raises:
            InvalidSetting: there is no such level or profile.
            DesignUnavailable: the database has no such index; it is as it was.
            StoreError: the server failed, or does not finish its index.
        """
        design = CollectionDesign.of(profile) if profile else None
        level = known_level(recall)
        store = self._store
        # Imported here: it is rarely wanted.
        from lookalike.store import tuning  # noqa: PLC0415

        if isinstance(store, ServedStore) or not store.tunable:
            if design and not design.plain:
                raise DesignUnavailable(store.database, LITE_IS_EXACT)
            return None
        if design and design.profile != store.design.profile:
            tuning.redesign(store, design)
        curve = tuning.tune(store, questions=questions, on_wait=on_wait)
        if curve and level is not None:
            tuning.keep_level(store, level)
        return curve

    @property
    def level(self) -> float:
        """The recall that searches of an approximate index shall have."""
        return self._store.level or USUAL_LEVEL

    @property
    def untuned(self) -> bool:
        """Whether its index is approximate, and nobody knows which recall it has."""
        store = self._store
        return not store.design.exact and store.curve is None

    def __len__(self) -> int:
        """The number of pictures in the index."""
        return self._store.count()

    def info(self) -> IndexInfo:
        """What this index is, and what it was made with."""
        made_with = self._store.model
        return IndexInfo(
            database=self._store.database,
            collection=self._store.name,
            rows_in=self._store.collection,
            pictures=len(self),
            model=made_with.model,
            fingerprint=made_with.fingerprint,
            dim=made_with.dim,
            metric=made_with.metric,
            version=made_with.version,
            size_bytes=self._store.size_bytes(),
        )

    def close(self) -> None:
        """Write everything out and let other processes open the database."""
        try:
            self._store.flush()
        finally:
            self._store.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
