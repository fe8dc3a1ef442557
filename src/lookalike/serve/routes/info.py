"""What the index is."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

import lookalike
from lookalike.embed.embedder import reads_words
from lookalike.query.conditions import NAMES
from lookalike.serve.problems import documented
from lookalike.serve.service import Served

router = APIRouter(tags=["index"])


class Root(BaseModel):
    """A folder that can be indexed by request."""

    name: str = Field(examples=["photos"])


class Limits(BaseModel):
    """What is not taken from clients when it is larger."""

    upload_bytes: int
    pixels: int
    hits: int = Field(description="In one answer.")


class Info(BaseModel):
    """An index, and what its server can do."""

    pictures: int = Field(description="How many pictures are in the index.", examples=[86])
    model: str = Field(description="The model that their vectors are from.")
    dim: int = Field(description="The length of a vector.", examples=[384])
    metric: str = Field(description="COSINE, IP or L2.", examples=["COSINE"])
    reads_words: bool = Field(description="Whether it can be asked with words.")
    collection: str
    fields: list[str] = Field(description="What a filter can be about.")
    roots: list[Root]
    show_paths: bool
    allow_trash: bool
    limits: Limits
    version: str = Field(description="Of lookalike.")
    database: str = Field(default="", description="Only with --show-paths.")


@router.get(
    "/info",
    summary="What the index is",
    response_model_exclude_unset=True,
    responses=documented(),
)
def info(service: Served) -> Info:
    """Its size and model, and what can be asked for."""
    known, options = service.index.info(), service.options
    hidden = () if options.show_paths else ("path",)
    fields = [*NAMES, *service.index.own_fields()]
    return Info(
        pictures=known.pictures,
        model=known.model,
        dim=known.dim,
        metric=known.metric,
        reads_words=reads_words(service.index.embedder),
        collection=known.collection,
        fields=[name for name in fields if name not in hidden],
        roots=[Root(name=name) for name in service.roots.folders],
        show_paths=options.show_paths,
        allow_trash=options.allow_trash,
        limits=Limits(
            upload_bytes=service.settings.max_upload_bytes,
            pixels=service.questions.max_pixels,
            hits=1000,
        ),
        version=lookalike.__version__,
        **({"database": known.database} if options.show_paths else {}),
    )
