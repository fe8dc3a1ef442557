"""What a client is told when something cannot be done: one shape, for everything."""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus

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
    StoreError,
)

RETRY_S = 5
_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """What went wrong."""

    code: str = Field(description="A name for programs.", examples=["invalid_question"])
    message: str = Field(description="What happened, to which thing, and what to do.")
    field: str | None = Field(default=None, description="The part of the request that it is about.")


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
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status, self.headers = status, headers
        self.problem = Problem(code=code, message=message, field=field)
        super().__init__(message)


def answer_to(refused: Refused) -> JSONResponse:
    """What is sent."""
    body = ProblemAnswer(error=refused.problem).model_dump()
    return JSONResponse(body, refused.status, refused.headers)


def refusal_of(error: LookalikeError) -> Refused:
    """What a client is told of an error of the library's."""
    match error:
        case InvalidQuestion():
            return Refused(422, "invalid_question", str(error))
        case InvalidSetting():
            return Refused(422, "invalid_value", str(error), field=error.name)
        case PictureDamaged():
            return Refused(415, "not_a_picture", str(error))
        case PictureError():
            return Refused(422, "picture_unreadable", str(error))
        case StoreError():
            headers = {"Retry-After": str(RETRY_S)}
            return Refused(503, "database_unavailable", str(error), headers=headers)
    _log.error("%s", error)
    return Refused(500, "failed", str(error))


def install(app: FastAPI) -> None:
    """Let every error of this application be answered in the one shape."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)  # noqa: S101 - FastAPI chooses by the type
        return answer_to(error)

    async def known(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, LookalikeError)  # noqa: S101
        return answer_to(refusal_of(error))

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or None
        return answer_to(Refused(422, "invalid_request", first["msg"], field=field))

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
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)
