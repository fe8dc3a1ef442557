"""How an index is opened: which database, and which model."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lookalike.embed.catalog import load_embedder, load_remembered
from lookalike.embed.embedder import Embedder, ModelEmbedder
from lookalike.embed.presets import DEFAULT_MODEL
from lookalike.errors import (
    ExtraMissing,
    IndexNotFound,
    InvalidSetting,
    MetricMismatch,
    ModelError,
    ModelMismatch,
    ModelUnusable,
)
from lookalike.ingest.scan import Scan
from lookalike.opening_rows import located, served_store
from lookalike.records import ImageFile
from lookalike.settings import Settings
from lookalike.store.design import CollectionDesign, known_tenant
from lookalike.store.effort import known_level
from lookalike.store.remembered import peek
from lookalike.store.schema import METRICS, CollectionModel

if TYPE_CHECKING:
    from lookalike.store import Store
    from lookalike.store.served import ServedStore


def open_store(
    database: str | os.PathLike[str] | None,
    *,
    token: str | None,
    model: str | Embedder | None,
    weights: str | os.PathLike[str] | None,
    calibration: Iterable[str | os.PathLike[str]] | None,
    collection: str,
    metric: str | None,
    create: bool,
    preload: bool,
    design: CollectionDesign | None,
    tenant: str | None,
    recall: float | None,
    settings: Settings,
) -> tuple[Store, Embedder | None]:
    """The store of an index, and the embedder that was asked for; None is the index's own.

    The arguments and the errors are those of `Index.open`.
    """
    metric, tenant, recall = _known_metric(metric), known_tenant(tenant), known_level(recall)
    path, token = located(database, token)
    lite = tenant is None and (design is None or design.plain)
    served = served_store(path, collection) if lite else None
    if served:
        remembered: CollectionModel | None = served.model
    else:
        remembered = peek(path, collection, token=token, wait_s=settings.server_wait_s)
    if remembered is None and not create and not ("://" in path or Path(path).exists()):
        raise IndexNotFound(path, collection)  # before a model is fetched for nothing
    embedder = _asked_for(model, weights, calibration, remembered, settings)
    store: Store
    if served:
        store = served
    else:
        if preload:
            if embedder is None and remembered:
                embedder = own_embedder(remembered, settings)
            likely = embedder or load_embedder(settings=settings)
            threading.Thread(target=_preload, args=[likely], name="lookalike-preload").start()
        # Imported here: pymilvus takes 0.5 s, and the model is compiled in that time.
        from lookalike.store.milvus import MilvusStore  # noqa: PLC0415

        described = _described(embedder, remembered, metric, settings) if create else None
        store = MilvusStore(
            path,
            collection,
            create=described,
            token=token,
            wait_s=settings.server_wait_s,
            design=design,
            tenant=tenant,
            recall=recall,
        )
    with contextlib.ExitStack() as undo:
        undo.callback(store.close)
        made_with = store.model
        if embedder and made_with.fingerprint != embedder.fingerprint:
            raise ModelMismatch(
                database=path,
                indexed=(made_with.model, made_with.fingerprint),
                requested=(embedder.name, embedder.fingerprint),
                weights=None if weights is None else os.fspath(weights),
                precision=settings.precision,
            )
        if metric and made_with.metric != metric:
            raise MetricMismatch(database=path, indexed=made_with.metric, requested=metric)
        if served:
            embedder = _warm(served, embedder, settings)
        undo.pop_all()
    return store, embedder


def _warm(served: ServedStore, embedder: Embedder | None, settings: Settings) -> Embedder | None:
    """The server's model in place of the same one here, unless that shall run in a special way."""
    ordinary = settings.device in ("auto", "cpu") and settings.precision == "auto"
    if ordinary and isinstance(embedder, ModelEmbedder | None):
        # Imported here: as above.
        from lookalike.embed.served import served_embedder  # noqa: PLC0415

        return served_embedder(served.owner) or embedder
    return embedder


def _described(
    embedder: Embedder | None,
    remembered: CollectionModel | None,
    metric: str | None,
    settings: Settings,
) -> CollectionModel | None:
    """What the collection is for, if it has to be made."""
    if remembered is not None and embedder is None:
        return remembered
    first = embedder or load_embedder(settings=settings)
    if embedder and remembered is None:
        # What it lacks, a device or a package, must not leave an empty database behind.
        embedder.load()
    return CollectionModel(
        model=first.name,
        fingerprint=first.fingerprint,
        dim=first.dim,
        metric=metric or METRICS[0],
    )


def _known_metric(metric: str | None) -> str | None:
    if metric is not None and metric.upper() not in METRICS:
        raise InvalidSetting("metric", metric, "COSINE, IP or L2")
    return metric and metric.upper()


def _asked_for(
    model: str | Embedder | None,
    weights: str | os.PathLike[str] | None,
    calibration: Iterable[str | os.PathLike[str]] | None,
    remembered: CollectionModel | None,
    settings: Settings,
) -> Embedder | None:
    """The embedder that was named; None is the index's own."""
    if weights is not None and not isinstance(model, str):
        raise InvalidSetting("weights", str(weights), "given together with the name of its model")
    if not isinstance(model, str | None):
        return model
    if settings.precision != "int8":
        return None if model is None else load_embedder(model, weights=weights, settings=settings)
    if remembered is None:
        files = None if calibration is None else [item.path for item in _images(calibration)]
        name = model or DEFAULT_MODEL
        return load_embedder(name, weights=weights, calibration=files, settings=settings)
    # Calibrating again would make another model.
    if model is None:
        return None
    floating = dataclasses.replace(settings, precision="auto")
    named = load_embedder(model, weights=weights, settings=floating)
    own = own_embedder(remembered, settings)
    return own if own.description.calibrated_from == named.fingerprint else named


def _images(sources: Iterable[str | os.PathLike[str]]) -> Iterator[ImageFile]:
    return (item for item in Scan(list(sources)) if isinstance(item, ImageFile))


def own_embedder(made_with: CollectionModel, settings: Settings) -> ModelEmbedder:
    """The embedder of an index's own model.

    Raises:
        ModelError: it cannot be had.
    """
    was = (
        f"The index was made with the model {made_with.model} ({made_with.fingerprint[:8]}), which "
        "is not on this machine"
    )
    try:
        embedder = load_remembered(made_with.model, made_with.fingerprint, settings=settings)
    except (ModelError, ExtraMissing) as error:
        raise ModelUnusable(f"{was}. {error} Or index into another database (--db).") from error
    if embedder.fingerprint != made_with.fingerprint:
        raise ModelUnusable(
            f"{was}; the {made_with.model} to be had here is another ({embedder.fingerprint[:8]}). "
            f"Name its file (--model {made_with.model} --weights FILE), or for an int8 model copy "
            "the folder of models from where it was made; or index into another database (--db)."
        )
    return embedder


def _preload(embedder: Embedder) -> None:
    # What went wrong is raised again, in the caller's thread, by the first use of the model.
    with contextlib.suppress(Exception):
        embedder.load()
        # The first picture takes longer than later ones.
        embedder.embed(embedder.prepare(Image.new("RGB", embedder.least))[np.newaxis])
