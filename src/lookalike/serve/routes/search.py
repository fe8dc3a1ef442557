"""What looks like a picture, or like what words say."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from lookalike.query.answer import Wanted
from lookalike.serve.problems import Refused, documented, invalid
from lookalike.serve.questions import checked, described
from lookalike.serve.service import Served, Service
from lookalike.serve.shapes import (
    ID,
    MOST_OFFSET,
    Answer,
    Asked,
    AskedTerm,
    Limit,
    Offset,
    Question,
    found,
)

router = APIRouter(tags=["search"])

MOST_PICTURES = 8
FORM = "multipart/form-data"


def _schema() -> dict[str, Any]:
    """The schema of a question, with nothing referred to."""
    schema = Question.model_json_schema()
    schema["properties"]["terms"]["items"] = schema.pop("$defs")["AskedTerm"]
    return schema


def _body() -> dict[str, Any]:
    question = _schema()
    fields = {**question["properties"], "terms": {"type": "string", "description": "As JSON."}}
    picture = {"type": "array", "items": {"type": "string", "format": "binary"}}
    form = {"type": "object", "properties": {"picture": picture, **fields}}
    example = {"terms": [{"id": ID}, {"id": ID[::-1], "weight": -0.5}], "limit": 24}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": question, "example": example},
            FORM: {"schema": form},
        },
    }


@router.post(
    "/search",
    summary="Find what looks like it",
    response_model=Answer,
    responses=documented(400, 404, 408, 413, 415, 422),
    openapi_extra={"requestBody": _body()},
)
async def search(request: Request, service: Served) -> Response:
    """Ask with pictures of the index, uploads, addresses and words, or with files in a form."""
    started = time.perf_counter()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        question, pictures = await _of_form(request, service)
    else:
        question, pictures = _question(await _json(request, kind)), []
    return await answered(question, pictures, service, started)


@router.get(
    "/images/{id}/similar",
    summary="What looks like a picture of the index",
    response_model=Answer,
    responses=documented(404, 422),
)
async def similar(
    id: Annotated[str, Path(description="Of the picture.", examples=[ID])],  # noqa: A002
    service: Served,
    limit: Annotated[Limit, Query()] = 24,
    offset: Annotated[Offset, Query()] = 0,
) -> Response:
    """Best first, without the picture itself."""
    started = time.perf_counter()
    await run_in_threadpool(service.place, id)
    question = Question(terms=[AskedTerm(id=id)], limit=limit, offset=offset)
    return await answered(question, [], service, started, without=id)


async def answered(
    question: Question,
    pictures: list[bytes],
    service: Service,
    started: float,
    *,
    without: str | None = None,
) -> Response:
    """The answer to a question, as it is sent.

    Args:
        question: what was asked.
        pictures: files that came with it.
        service: the parts of the server.
        started: when, by the clock for performance.
        without: the id of a picture that is left out.
    """
    show_paths = service.options.show_paths
    where = checked(question.where, show_paths=show_paths)
    # One more tells whether more follow, and the picture itself may be among them.
    further = 1 if without is None else 2 + question.offset
    wanted = Wanted(
        limit=question.limit + further,
        offset=question.offset if without is None else 0,
        where=where,
        min_score=question.min_score,
        auto=question.auto,
        diverse=question.diverse,
    )
    terms = question.terms
    simple = not pictures and all(term.id and term.crop is None for term in terms)
    if simple and question.crop is None:
        query = service.questions.query(terms)  # waits for nothing
    else:
        query = await run_in_threadpool(
            service.questions.query, terms, pictures=pictures, crop=question.crop
        )
    hits = await asyncio.wrap_future(service.batching.search(query, wanted))
    if without is not None:
        hits = [hit for hit in hits if hit.id != without][question.offset :]
    asked = Asked(
        terms=described(terms, len(pictures), question.crop),
        **question.model_dump(include=set(Asked.model_fields) - {"terms"}),
    )
    answer = Answer.model_construct(
        query=asked,
        model=service.model,
        hits=[found(hit, show_paths=show_paths) for hit in hits[: question.limit]],
        seconds=round(time.perf_counter() - started, 4),
        more=len(hits) > question.limit and question.offset + question.limit <= MOST_OFFSET,
    )
    body = answer.model_dump_json(exclude_unset=True)
    return Response(body, media_type="application/json")


async def _json(request: Request, kind: str) -> Any:
    if kind != "application/json":
        message = f"Ask with application/json or {FORM}, not {kind[:80] or 'nothing'}."
        raise Refused(415, "not_understood", message)
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise Refused(422, "invalid_request", "The body is no JSON.") from None


async def _of_form(request: Request, service: Service) -> tuple[Question, list[bytes]]:
    pictures, fields = [], {}
    async with request.form(max_files=MOST_PICTURES, max_fields=32) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != "picture":
                    raise Refused(422, "invalid_request", "Files are named picture.", field="file")
                pictures.append(await file_of(value, service))
            elif name == "terms":
                fields[name] = _terms(value)
            else:
                fields[name] = value or None
    return _question({name: value for name, value in fields.items() if value is not None}), pictures


def _terms(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Refused(422, "invalid_request", "It is no JSON.", field="terms") from None


async def file_of(sent: UploadFile, service: Service) -> bytes:
    """The bytes of a file that came in a form."""
    limit = service.settings.max_upload_bytes
    if (sent.size or 0) > limit:
        message = f"The picture has more than {limit:,} bytes."
        raise Refused(413, "too_large", message, field="picture")
    return await sent.read()


def _question(body: object) -> Question:
    try:
        return Question.model_validate(body)
    except ValidationError as error:
        raise invalid(error.errors()) from None
