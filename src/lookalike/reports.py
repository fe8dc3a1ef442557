"""What work on an index has done: frozen dataclasses, handed up to whoever asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lookalike.records import Skipped


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import has done: `rows` were written, and `database` has `total` now."""

    rows: int
    total: int
    database: str


@dataclass(frozen=True, slots=True)
class CopyProgress:
    """How far a copy has come: `done` of about `total` rows, of which `written` were."""

    done: int
    total: int
    written: int


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy has done: of the source's `rows` some were `written`, the others were there.

    `removed` are rows of the target that the source did not have, `checked` those that were read
    back and compared as a whole, and `total` is how many `target` has now.
    """

    rows: int
    written: int
    removed: int
    checked: int
    total: int
    target: str
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """Rows of the source over the time of the whole run."""
        return self.rows / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an indexing run did. `total` is the number of rows afterwards.

    A picture is `moved` whose bytes were known under a path that is gone: its vector is kept.
    `others` counts the files in folders that were not looked at, for their names do not end as
    those of pictures do: ending -> how many.
    """

    added: int
    updated: int
    moved: int
    removed: int
    unchanged: int
    skipped: tuple[Skipped, ...]
    total: int
    seconds: float
    others: Mapping[str, int] = field(default_factory=dict)

    @property
    def images_per_second(self) -> float:
        """Pictures added and updated, over the time of the whole run."""
        return (self.added + self.updated) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two collections of the same pictures answer to the same questions.

    `overlap_at_10` is the mean part of the 10 nearest that both have, over `questions`. Of
    `labelled` pictures `r_at_1` and `p_at_10` are those of the first and of the second, as
    `Quality` has them; None without labels.
    """

    questions: int
    overlap_at_10: float
    labelled: int = 0
    r_at_1: tuple[float, float] | None = None
    p_at_10: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ReindexReport:
    """What making an index again with another model has done.

    `before` and `after` are the model, its fingerprint and the collection that has its rows. The
    new one has `total` rows: `embedded` now, and `unchanged` by an earlier run; `removed` are rows
    of that which the index does not have any more. `skipped` could not be embedded. `swapped` says
    whether the new one is in use now; it is not where the index was in it before and some of its
    rows would be `lost`. `untuned` says that its recall was not measured: see `Index.tune`.
    """

    database: str
    collection: str
    before: tuple[str, str, str]
    after: tuple[str, str, str]
    embedded: int
    unchanged: int
    removed: int
    skipped: tuple[Skipped, ...]
    total: int
    comparison: Comparison
    swapped: bool
    seconds: float
    lost: int = 0
    untuned: bool = False
