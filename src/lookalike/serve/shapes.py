"""What requests and answers look like, as the OpenAPI document says it."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from lookalike.records import Duplicate, Hit, ImageRecord, row_id

ID = "8a2f7f0c4be1d3a5960718293a4b5c6d"
CROP = "10%,10%,50%,50%"
MOST_TERMS = 32
MOST_HITS = 1000
MOST_OFFSET = 15_000  # with the hits, what the database finds in one search

Limit = Annotated[int, Field(ge=1, le=MOST_HITS, description="How many at most.")]
Offset = Annotated[int, Field(ge=0, le=MOST_OFFSET, description="How many are left out before.")]
Where = Annotated[
    str | None,
    Field(
        max_length=10_000,
        description="What the pictures must be.",
        examples=['width > 1000 and label = "cat"'],
    ),
]


class Picture(BaseModel):
    """A picture of the index."""

    id: str = Field(description="Names it in this API.", examples=[ID])
    name: str = Field(description="The last part of its path.", examples=["crow.jpg"])
    width: int = Field(description="Pixels, upright.", examples=[500])
    height: int = Field(examples=[375])
    size_bytes: int = Field(examples=[32101])
    taken_at: int | None = Field(description="Seconds since 1970; null where unknown.")
    format: str = Field(examples=["jpeg"])
    animated: bool = Field(description="Whether it is the first of an animation.")
    content: str = Field(description="BLAKE2b-128 of the file.", examples=[ID])
    metadata: dict[str, Any] = Field(description="The user's own fields.")
    path: str = Field(default="", description="Where it lies; only with --show-paths.")


class Found(Picture):
    """A picture that a question has found."""

    score: float = Field(description="In the metric of the index.", examples=[0.87])
    similar_count: int = Field(description="Nearly identical hits that it stands for.")


class Details(Picture):
    """All that is known of a picture."""

    modified_at: float = Field(description="Of the file, in seconds since 1970.")
    phash: str = Field(description="A perceptual hash, in hex; empty where there is none.")


class Copy(Picture):
    """A picture of a group of duplicates."""

    kind: str = Field(description="exact, near or similar; that of the kept one is keep.")
    score: float = Field(description="The cosine with the kept one.", examples=[0.99])


class AskedTerm(BaseModel):
    """A picture or words, and how much it counts; just one of id, upload, url and words."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(default=None, description="A picture of the index.", examples=[ID])
    upload: str | None = Field(default=None, description="A picture sent to /uploads.")
    url: str | None = Field(
        default=None, max_length=8192, description="A public http or https address."
    )
    words: str | None = Field(
        default=None, max_length=2000, description="Needs a model that reads words."
    )
    weight: FiniteFloat = Field(
        default=1.0, description="Below 0: less like this.", examples=[1.0, -0.5]
    )
    crop: str | None = Field(
        default=None,
        max_length=200,
        description="The part that is meant: X,Y,WIDTH,HEIGHT in pixels or percent.",
        examples=[CROP],
    )

    @model_validator(mode="after")
    def _is_one_thing(self) -> AskedTerm:
        if sum(each is not None for each in (self.id, self.upload, self.url, self.words)) != 1:
            raise ValueError("a term has just one of id, upload, url and words")
        return self


class Question(BaseModel):
    """What is looked for."""

    model_config = ConfigDict(extra="forbid")

    terms: list[AskedTerm] = Field(default=[], max_length=MOST_TERMS)
    limit: Limit = 24
    offset: Offset = 0
    where: Where = Field(default=None, validation_alias=AliasChoices("where", "filter"))
    crop: str | None = Field(
        default=None,
        max_length=200,
        description="The part that is meant of the only picture.",
        examples=[CROP],
    )
    min_score: FiniteFloat | None = Field(default=None, description="The worst score of a hit.")
    auto: bool = Field(default=False, description="Only hits that stand out from the rest.")
    diverse: bool = Field(default=False, description="Nearly identical hits are one.")


class Asked(BaseModel):
    """The question as it was understood."""

    terms: list[dict[str, Any]] = Field(
        description="kind (id, upload, url, words, picture), value, weight and crop of each."
    )
    limit: int
    offset: int
    where: str | None
    min_score: float | None
    auto: bool
    diverse: bool


class Answer(BaseModel):
    """The hits of a question, best first."""

    query: Asked
    model: str = Field(description="What the vectors are from.")
    hits: list[Found]
    seconds: float = Field(description="How long it took the server.")
    more: bool = Field(description="Whether more follow.")


def _name(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def _shown(path: str, *, show_paths: bool) -> dict[str, Any]:
    return {"name": _name(path), **({"path": path} if show_paths else {})}


def found(hit: Hit, *, show_paths: bool) -> Found:
    """A hit as clients see it."""
    facts = {field.name: getattr(hit, field.name) for field in dataclasses.fields(hit)}
    # Nothing of it is checked again: it comes from the database.
    del facts["path"]
    return Found.model_construct(**facts, **_shown(hit.path, show_paths=show_paths))


def picture(hit: Hit, *, show_paths: bool) -> Picture:
    """A picture that no question was asked about."""
    facts = {name: getattr(hit, name) for name in _FACTS}
    return Picture.model_construct(**facts, **_shown(hit.path, show_paths=show_paths))


def details(record: ImageRecord, *, show_paths: bool) -> Details:
    """All of a row but its vector."""
    return Details(
        id=row_id(record.path),
        width=record.width,
        height=record.height,
        size_bytes=record.stamp.size_bytes,
        taken_at=record.taken_at or None,
        format=record.format,
        animated=record.animated,
        content=record.content,
        metadata=dict(record.metadata),
        modified_at=record.stamp.mtime_ns / 1e9,
        phash=record.phash,
        **_shown(record.path, show_paths=show_paths),
    )


def copy(row: Duplicate, *, show_paths: bool) -> Copy:
    """A member of a group of duplicates."""
    return Copy(
        id=row_id(row.path),
        width=row.width,
        height=row.height,
        size_bytes=row.stamp.size_bytes,
        taken_at=row.taken_at or None,
        format=row.format,
        animated=False,
        content=row.content,
        metadata={},
        kind=row.kind,
        score=row.score,
        **_shown(row.path, show_paths=show_paths),
    )


_FACTS = (
    "id", "width", "height", "size_bytes", "taken_at", "format", "animated", "content", "metadata",
)  # fmt: skip
