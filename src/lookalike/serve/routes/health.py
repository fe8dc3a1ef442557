"""How the server is."""

from __future__ import annotations

import contextlib

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from lookalike.serve.problems import ProblemAnswer, Refused
from lookalike.serve.service import Served

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    """The process answers."""

    status: str = Field(examples=["ok"])


class Ready(BaseModel):
    """Questions can be answered."""

    status: str = Field(examples=["ready"])
    pictures: int = Field(description="How many pictures are in the index.", examples=[86])


@router.get("/healthz", summary="Whether the process lives")
async def healthz() -> Alive:
    """Asks nothing of the database or the model, and needs no token."""
    return Alive(status="ok")


@router.get(
    "/readyz",
    summary="Whether the database and the model answer",
    responses={503: {"model": ProblemAnswer, "description": "One of them does not."}},
)
async def readyz(service: Served) -> Ready:
    """Tries both."""
    return Ready(status="ready", pictures=await service.readiness.pictures())


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": "lookalike_pictures 86.0"}}}},
)
async def metrics(service: Served) -> PlainTextResponse:
    """Requests, times, batches, pictures, jobs and the process; nothing about single pictures."""
    with contextlib.suppress(Refused):  # the figure of the last time stays
        service.metrics.pictures(await service.readiness.pictures())
    return PlainTextResponse(service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
