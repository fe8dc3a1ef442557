"""The page where a person shows the token, once: no script is needed for it."""

from __future__ import annotations

import html
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from lookalike.serve.guards.rates import client_of
from lookalike.serve.guards.tokens import COOKIE, SESSION_S
from lookalike.serve.paths import LOGIN
from lookalike.serve.problems import Refused
from lookalike.serve.service import Served

PAGE = Path(__file__).parents[1] / "page" / "login.html"
FORM = "application/x-www-form-urlencoded"

router = APIRouter(include_in_schema=False)


@router.get(LOGIN)
def login_page(request: Request, service: Served) -> Response:
    """The form."""
    if not service.sessions.needed or service.sessions.knows(request.cookies.get(COOKIE)):
        return RedirectResponse(_next(request), status_code=303)
    return _page(request)


@router.post(LOGIN)
async def login(request: Request, service: Served) -> Response:
    """Begin a session, or show the form again with what was wrong."""
    if not service.sessions.needed:
        return RedirectResponse("/", status_code=303)
    token = (await _form(request)).get("token", "")
    try:
        service.sessions.check(str(token).strip(), client=client_of(request.scope))
    except Refused as refused:
        return _page(request, refused)
    answer = RedirectResponse(_next(request), status_code=303)
    answer.set_cookie(
        COOKIE,
        service.sessions.begin(),
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/logout")
def logout(request: Request, service: Served) -> Response:
    """End the session."""
    service.sessions.end(request.cookies.get(COOKIE))
    answer = RedirectResponse(LOGIN, status_code=303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


async def _form(request: Request) -> FormData:
    if not request.headers.get("content-type", "").startswith(FORM):
        raise Refused(415, "wrong_type", f"The login form is sent as {FORM}.")
    return await request.form()


def _page(request: Request, refused: Refused | None = None) -> HTMLResponse:
    text = PAGE.read_text(encoding="utf-8")
    text = text.replace("{next}", html.escape(request.url.query))
    if refused is None:
        return HTMLResponse(text.replace("{message}", ""))
    text = text.replace("{message}", html.escape(refused.problem.message))
    return HTMLResponse(text, refused.status, refused.headers)


def _next(request: Request) -> str:
    """Where the person wanted to go: a page of this server, never one elsewhere."""
    wanted = request.query_params.get("next", "/")
    is_own = wanted.startswith("/") and not wanted.startswith("//")
    return wanted if is_own and wanted.isprintable() and "\\" not in wanted else "/"
