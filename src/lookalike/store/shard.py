"""Equal parts of all pictures, by the ids of their rows."""

from __future__ import annotations

from dataclasses import dataclass

from lookalike.errors import InvalidSetting


def id_edge(part: int, parts: int) -> str:
    """Where one of `parts` equal ranges of ids begins; that of a part behind the last is its end.

    Ids are uniform 128-bit numbers in hex.
    """
    return f"{(1 << 128) * part // parts:032x}"


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `of` equal parts of all pictures, by the ids of their rows; the first has number 1.

    Raises:
        InvalidSetting: there is no such part.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        """Refuse what is no part."""
        if not 1 <= self.number <= self.of:
            raise InvalidSetting("shard", f"{self.number}/{self.of}", "I/N with I from 1 to N")

    def has(self, key: str) -> bool:
        """Whether a row of this id is in it."""
        after = self.number == self.of or key < id_edge(self.number, self.of)
        return key >= id_edge(self.number - 1, self.of) and after
