"""The index is made to match its folders, by request."""

from __future__ import annotations

import asyncio
import dataclasses
import posixpath
import re
import time
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from lookalike.errors import LookalikeError
from lookalike.reports import IndexReport
from lookalike.serve.jobs import Job
from lookalike.serve.problems import Problem, documented, refusal_of
from lookalike.serve.service import Served, Service

LOOK_S = 0.25
HEARTBEAT_S = 15.0
NEW_ID = "8c9f0b7d1e2a4c5b8d6e7f9012345678"

router = APIRouter(tags=["jobs"])


class Folders(BaseModel):
    """What is to be indexed."""

    folders: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="Names of roots, as /info has them, or of folders in them; none is all roots.",
        examples=[["photos/2024"]],
    )


class Done(BaseModel):
    """How far a job has come: numbers of files."""

    added: int
    updated: int
    unchanged: int
    skipped: int
    done: int = Field(description="All of these together.")


class SkippedFile(BaseModel):
    """Something that could not be indexed."""

    name: str = Field(description="The last part of its path.", examples=["broken.jpg"])
    path: str | None = Field(default=None, description="Where it lies, with --show-paths only.")
    reason: str = Field(examples=["it is no picture"])


class Report(BaseModel):
    """What a job has done, as `lookalike index --format json` prints it."""

    added: int
    updated: int
    moved: int
    removed: int
    unchanged: int
    skipped: list[SkippedFile]
    total: int = Field(description="How many pictures are in the index now.")
    seconds: float
    images_per_second: float


class JobView(BaseModel):
    """A job."""

    id: str = Field(examples=[NEW_ID])
    state: str = Field(description="queued, running, done, failed or cancelled.")
    progress: Done
    report: Report | None = Field(default=None, description="When it is done.")
    error: Problem | None = Field(default=None, description="Why it has failed.")
    created_at: float = Field(description="Seconds since the epoch.")
    finished_at: float | None = None


class JobsView(BaseModel):
    """All jobs, the newest first."""

    jobs: list[JobView]


@router.post(
    "/index", status_code=202, summary="Index folders", responses=documented(400, 404, 422)
)
def start(service: Served, wanted: Folders | None = None) -> JobView:
    """Begin a job that makes the index match folders; what is committed outlives everything."""
    folders = service.roots.chosen(wanted.folders if wanted else [])
    return _view(service.jobs.start(folders), service)


@router.get("/jobs", summary="All jobs", responses=documented())
def jobs(service: Served) -> JobsView:
    """Those that wait or run, and the last ones that are over."""
    return JobsView(jobs=[_view(job, service) for job in service.jobs.all()])


@router.get("/jobs/{id}", summary="A job", responses=documented(404))
def job(id: str, service: Served) -> JobView:  # noqa: A002
    """How far it has come."""
    return _view(service.jobs.get(id), service)


@router.delete("/jobs/{id}", summary="End a job early", responses=documented(404))
def cancel(id: str, service: Served) -> JobView:  # noqa: A002
    """It ends after the batch that it is at; what is committed stays."""
    known = service.jobs.get(id)
    service.jobs.cancel(known)
    return _view(known, service)


@router.get(
    "/jobs/{id}/events",
    summary="A job's progress, as it happens",
    response_class=StreamingResponse,
    responses={
        **documented(404),
        200: {
            "description": "Events named progress, done, failed or cancelled; data is the job.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
    },
)
def events(id: str, service: Served) -> StreamingResponse:  # noqa: A002
    """Server-sent events, until the job is over."""
    known = service.jobs.get(id)
    return StreamingResponse(
        _events(known, service),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(job: Job, service: Service) -> AsyncIterator[str]:
    told, told_at = "", time.monotonic()
    while not service.stopping.is_set():
        view = _view(job, service)
        data = view.model_dump_json()
        if data != told:
            name = view.state if view.state in ("done", "failed", "cancelled") else "progress"
            yield f"event: {name}\ndata: {data}\n\n"
            if name != "progress":
                return
            told, told_at = data, time.monotonic()
        elif time.monotonic() - told_at > HEARTBEAT_S:
            yield ": still there\n\n"
            told_at = time.monotonic()
        await asyncio.sleep(LOOK_S)


def _view(job: Job, service: Service) -> JobView:
    state = job.state  # first: what it says of the rest holds by then
    progress = job.progress
    return JobView(
        id=job.id,
        state=state,
        progress=Done(**dataclasses.asdict(progress), done=progress.done),
        report=_report(job.report, service) if job.report and state == "done" else None,
        error=_problem(job.error, service) if state == "failed" else None,
        created_at=job.created_at,
        finished_at=job.finished_at,
    )


def _report(report: IndexReport, service: Service) -> Report:
    plain = dataclasses.asdict(report)
    shown = service.options.show_paths
    plain["skipped"] = [
        SkippedFile(
            name=posixpath.basename(each.path.rstrip("/")),
            path=each.path if shown else None,
            reason=each.reason if shown else without_paths(each.reason, service),
        )
        for each in report.skipped
    ]
    plain["seconds"] = round(report.seconds, 3)
    return Report(**plain, images_per_second=round(report.images_per_second, 1))


def _problem(error: Exception | None, service: Service) -> Problem:
    if isinstance(error, LookalikeError):
        return refusal_of(error, show_paths=service.options.show_paths).problem
    if isinstance(error, OSError):
        return Problem(code="failed", message=f"The system refused: {error.strerror}.")
    return Problem(
        code="fault", message="This is a fault in lookalike; the server's log says more."
    )


def without_paths(text: str, service: Service) -> str:
    """The text with names of roots in place of paths, and without what follows another path."""
    for name, folder in service.roots.folders.items():
        text = text.replace(folder, name)
    return re.sub(r"(?<![\w.])(/|[A-Za-z]:[/\\]).*", "…", text, flags=re.DOTALL)
