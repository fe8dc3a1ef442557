"""What a client is told when something cannot be done: one shape, for everything."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from lookalike.errors import (
    InvalidQuestion,
    InvalidSetting,
    LookalikeError,
    PictureDamaged,
    PictureError,
    PictureTooLarge,
    StoreError,
)

RETRY_S = 5
_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """What went wrong."""

    code: str = Field(description="A name for programs.", examples=["invalid_question"])
    message: str = Field(description="What happened, to which thing, and what to do.")
    field: str | None = Field(default=None, description="The part of the request that it is about.")
    position: int | None = Field(
        default=None, description="Where in that text, in characters counted from 1.", examples=[17]
    )


class ProblemAnswer(BaseModel):
    """The body of every answer whose status is 400 or above."""

    error: Problem


class Refused(Exception):
    """A request that cannot be answered, with what the client is told."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        position: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status, self.headers = status, headers
        self.problem = Problem(code=code, message=message, field=field, position=position)
        super().__init__(message)


EXAMPLES = {
    400: ("bad_request", "There was an error parsing the body."),
    401: ("unauthorized", "This server wants a token: Authorization: Bearer …"),
    403: ("not_allowed", "Files are not touched by request; start the server with --allow-trash."),
    404: ("no_such_picture", "There is no picture 8a2f… in the index."),
    405: ("method_not_allowed", "Method Not Allowed"),
    408: ("too_slow", "The picture took more than 60 s to decode."),
    409: ("not_possible", "The kept picture cannot be discarded."),
    413: ("too_large", "The picture has more than 64,000,000 bytes."),
    415: ("not_a_picture", "The picture: it is no picture."),
    416: ("range_not_satisfiable", "The file has 32,101 bytes."),
    422: ("invalid_question", "where: column 17: the filter ends where more is expected."),
    429: ("too_many_requests", "There are too many requests; wait 1 s."),
    503: ("database_unavailable", "The database does not answer; ask again later."),
}
ALWAYS = (401, 403, 429, 503)
"""What any route may answer."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a route that may answer so, besides what any may."""
    return {status: _documented(status) for status in sorted({*statuses, *ALWAYS})}


def _documented(status: int) -> dict[str, Any]:
    code, message = EXAMPLES[status]
    problem = Problem(code=code, message=message)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        problem.field, problem.position = "where", 17
    example = ProblemAnswer(error=problem).model_dump()
    headers = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return {
        "model": ProblemAnswer,
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"example": example}},
        **({"headers": headers} if status in (429, 503) else {}),
    }


def answer_to(refused: Refused) -> JSONResponse:
    """What is sent."""
    body = ProblemAnswer(error=refused.problem).model_dump()
    return JSONResponse(body, refused.status, refused.headers)


def invalid(errors: Sequence[Any], *, skip: int = 0) -> Refused:
    """What a client is told of a body or parameters that pydantic refuses."""
    first = errors[0]
    field = ".".join(str(part) for part in first["loc"][skip:]) or None
    return Refused(422, "invalid_request", first["msg"], field=field)


def refusal_of(error: LookalikeError, *, show_paths: bool = False) -> Refused:
    """What a client is told of an error of the library's: nothing that names a path, unless so."""
    match error:
        case InvalidQuestion(column=column):
            field = "where" if str(error).startswith("where:") else None
            return Refused(422, "invalid_question", str(error), field=field, position=column)
        case InvalidSetting():
            return Refused(422, "invalid_value", str(error), field=error.name)
        case PictureError():
            return _of_picture(error)
    # The others name databases and files.
    if isinstance(error, StoreError):
        _log.warning("%s", error)
        message = str(error) if show_paths else "The database does not answer; ask again later."
        headers = {"Retry-After": str(RETRY_S)}
        return Refused(503, "database_unavailable", message, headers=headers)
    _log.error("%s", error)
    message = str(error) if show_paths else "It failed; the server's log says more."
    return Refused(500, "failed", message)


def _of_picture(error: PictureError) -> Refused:
    if isinstance(error, PictureTooLarge):
        width, height = error.size
        limit = error.max_pixels
        message = f"The picture has {width} × {height} pixels, but at most {limit} are decoded."
        return Refused(413, "too_many_pixels", message)
    if isinstance(error, PictureDamaged):
        return Refused(415, "not_a_picture", f"The picture cannot be used: {error.reason}.")
    return Refused(422, "picture_unreadable", f"The picture cannot be read: {error.reason}.")


def install(app: FastAPI, *, show_paths: bool = False) -> None:
    """Let every error of this application be answered in the one shape."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)  # noqa: S101 - FastAPI chooses by the type
        return answer_to(error)

    async def known(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, LookalikeError)  # noqa: S101
        return answer_to(refusal_of(error, show_paths=show_paths))

    async def of_request(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return answer_to(invalid(error.errors(), skip=1))

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101
        code = HTTPStatus(error.status_code).name.lower()
        headers = dict(error.headers) if error.headers else None
        return answer_to(Refused(error.status_code, code, str(error.detail), headers=headers))

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        last = traceback.extract_tb(error.__traceback__)[-1]
        _log.error(
            "Unexpected %s: %s, at %s:%s; -vv shows more.",
            type(error).__name__, error, last.filename, last.lineno,
        )  # fmt: skip
        message = "This is a fault in lookalike; the server's log says more."
        return answer_to(Refused(500, "fault", message))

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(LookalikeError, known)
    app.add_exception_handler(RequestValidationError, of_request)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)
