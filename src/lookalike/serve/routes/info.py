"""What the index is."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from lookalike.serve.service import Served

router = APIRouter(tags=["index"])


class Info(BaseModel):
    """An index, and what its server can do."""

    pictures: int = Field(description="How many pictures are in the index.", examples=[86])
    model: str = Field(description="The model that their vectors are from.")
    dim: int = Field(description="The length of a vector.", examples=[384])
    metric: str = Field(description="COSINE, IP or L2.", examples=["COSINE"])


@router.get("/info", summary="What the index is")
def info(service: Served) -> Info:
    """Its size and model."""
    known = service.index.info()
    return Info(pictures=known.pictures, model=known.model, dim=known.dim, metric=known.metric)
