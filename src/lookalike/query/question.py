"""A question: one or more terms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lookalike.errors import InvalidQuestion
from lookalike.query.language import Stdin, described, meant, terms_of
from lookalike.query.terms import Crop, File, RowId, Term, Value, WebAddress, Words


@dataclass(frozen=True, init=False)
class Query:
    """Pictures and words that together are one question.

    What is looked for is the sum of the terms' unit vectors, each times its weight. This is how
    J. J. Rocchio moves a query towards what is relevant and away from what is not ("Relevance
    feedback in information retrieval", 1971); with words it is the arithmetic of CLIP's space.
    """

    terms: tuple[Term, ...]

    def __init__(self, terms: Iterable[Term | Value]) -> None:
        """Understand the terms; nothing is read yet but whether files of these names exist.

        Raises:
            InvalidQuestion: there is none, or one makes no sense.
        """
        if isinstance(terms, str | bytes):
            terms = [terms]
        known = tuple(meant(term if isinstance(term, Term) else Term(term)) for term in terms)
        if not known:
            raise InvalidQuestion("The question is empty: name a picture, or words.")
        object.__setattr__(self, "terms", known)

    @classmethod
    def parse(cls, words: Sequence[str], *, stdin: Stdin | None = None) -> Query:
        """The question of a command line: ``["beach.jpg", "+", "0.5:sunset.jpg"]``.

        Args:
            words: terms and operators; see docs/asking.md.
            stdin: reads what ``-`` stands for in the place of a term.

        Raises:
            InvalidQuestion: it makes no sense.
        """
        return cls(terms_of(words, stdin=stdin))

    @classmethod
    def of(cls, question: Question) -> Query:
        """A question in any of its forms."""
        return question if isinstance(question, Query) else cls([question])

    @property
    def pictures(self) -> list[Term]:
        """The terms that the model must look at."""
        return [term for term in self.terms if not isinstance(term.value, Words | RowId)]

    def cropped(self, crop: Crop | str | None) -> Query:
        """The question about a part of its only picture; None changes nothing.

        Raises:
            InvalidQuestion: it has no picture, several, or one that is cropped already.
        """
        if crop is None:
            return self
        pictures = self.pictures
        if len(pictures) != 1 or pictures[0].crop:
            raise InvalidQuestion(
                f"The crop {crop} is not of one picture: the question has {len(pictures)}"
                f"{', cropped already' if len(pictures) == 1 else ''}. Crop each picture itself: "
                "beach.jpg@10%,10%,50%,50%"
            )
        crop = Crop.parse(crop) if isinstance(crop, str) else crop
        return Query(
            replace(term, crop=crop) if term is pictures[0] else term for term in self.terms
        )

    def described(self) -> dict[str, Any]:
        """The question as JSON has it; ``path`` is there where it is a single picture's."""
        known: dict[str, Any] = {"terms": [described(term) for term in self.terms]}
        if len(self.terms) == 1:
            match self.terms[0].value:
                case File(path) | WebAddress(path):
                    return {"path": path, **known}
        return known


Question = Value | Term | Query
