"""The application: its parts put together."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

import lookalike
from lookalike.index import Index
from lookalike.serve import problems
from lookalike.serve.options import ServeOptions
from lookalike.serve.paths import API
from lookalike.serve.problems import ProblemAnswer
from lookalike.serve.routes import (
    duplicates,
    health,
    images,
    info,
    jobs,
    login,
    owner,
    search,
    uploads,
)
from lookalike.serve.service import Service
from lookalike.settings import Settings

PAGE = Path(__file__).parent / "page"


def create_app(index: Index, *, options: ServeOptions, settings: Settings) -> FastAPI:
    """The server of an open index, which stays the caller's to close."""
    app = FastAPI(
        title="lookalike",
        version=lookalike.__version__,
        description="Find pictures that look alike.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # they would load scripts from elsewhere
        redoc_url=None,
        # Its own spans, and logs, would have what was asked in them; `guards.observed` makes ours.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        responses={"default": {"model": ProblemAnswer, "description": "Why it cannot be done."}},
    )
    app.state.service = Service(index=index, options=options, settings=settings)
    problems.install(app, show_paths=options.show_paths)
    api = APIRouter(prefix=API)
    for routes in (info, search, uploads, images, duplicates, jobs, health, owner):
        api.include_router(routes.router)
    app.include_router(api)
    app.include_router(health.router, include_in_schema=False)  # where others look for it
    app.include_router(login.router)

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/static", StaticFiles(directory=PAGE), name="static")
    return app
