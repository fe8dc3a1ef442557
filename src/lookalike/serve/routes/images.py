"""The pictures of the index, by the ids of their rows."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from lookalike.errors import LookalikeError
from lookalike.query.language import is_web
from lookalike.records import Twin
from lookalike.serve.problems import Refused, documented
from lookalike.serve.questions import checked
from lookalike.serve.service import Served, Service
from lookalike.serve.shapes import (
    ID,
    MOST_OFFSET,
    Details,
    Limit,
    Offset,
    Picture,
    Where,
    details,
    picture,
)
from lookalike.serve.thumbnails import size_for
from lookalike.sources.reader import Reader

router = APIRouter(tags=["images"])

SHOWN_BY_BROWSERS = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "ico": "image/x-icon",
}
"""Formats that browsers show and that cannot run anything; others are sent to be saved."""

Id = Annotated[str, Path(description="Of the picture.", examples=[ID])]
Match = Annotated[str | None, Header(description="What the client has already.")]


class Listing(BaseModel):
    """Pictures that nothing was asked about."""

    images: list[Picture]
    more: bool = Field(description="Whether more follow.")


@router.get(
    "/images",
    summary="The pictures of the index",
    response_model_exclude_unset=True,
    responses=documented(422),
)
def listing(
    service: Served,
    limit: Annotated[Limit, Query()] = 24,
    offset: Annotated[Offset, Query()] = 0,
    where: Annotated[Where, Query()] = None,
) -> Listing:
    """In an order that lasts as long as the pictures."""
    show_paths = service.options.show_paths
    where = checked(where, show_paths=show_paths)
    hits = service.index.browse(limit=limit + 1, offset=offset, where=where)
    images = [picture(hit, show_paths=show_paths) for hit in hits[:limit]]
    more = len(hits) > limit and offset + limit <= MOST_OFFSET
    return Listing.model_construct(images=images, more=more)


@router.get(
    "/images/{id}/details",
    summary="All that is known of a picture",
    response_model_exclude_unset=True,
    responses=documented(404, 422),
)
def all_details(id: Id, service: Served) -> Details:  # noqa: A002
    """Facts of the file, and the user's own fields."""
    record = service.index.record(id)
    if record is None:
        raise service.no_such_picture()
    return details(record, show_paths=service.options.show_paths)


def original(
    id: Id,  # noqa: A002
    service: Served,
    if_none_match: Match = None,
    range: Annotated[str | None, Header(description="Bytes that are wanted.")] = None,  # noqa: A002
) -> Response:
    """The file as it was indexed; in parts, too.

    What lies at its path may be something else by now, which nobody has chosen to show.
    """
    record = service.index.record(id)
    if record is None:
        raise service.no_such_picture()
    kind = SHOWN_BY_BROWSERS.get(record.format, "application/octet-stream")
    name = record.path.rstrip("/").rsplit("/", 1)[-1]
    how = "inline" if record.format in SHOWN_BY_BROWSERS else "attachment"
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": f"{how}; filename*=UTF-8''{quote(name)}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, no-cache",
    }
    headers |= {"ETag": f'"{record.content}"', "Accept-Ranges": "bytes"}
    if if_none_match and headers["ETag"] in if_none_match:
        return Response(status_code=304, headers=headers)
    data = _read(Twin(id, record.path, record.content), service)
    status = 200
    if wanted := _wanted(range, len(data)):
        status, headers["Content-Range"] = 206, f"bytes {wanted[0]}-{wanted[1]}/{len(data)}"
        data = data[wanted[0] : wanted[1] + 1]
    return Response(data, status, headers, media_type=kind)


def thumbnail(
    id: Id,  # noqa: A002
    service: Served,
    size: Annotated[
        int, Query(ge=1, le=1024, description="Pixels wide and high at most, about.")
    ] = 256,
    if_none_match: Match = None,
) -> Response:
    """A small copy, made once."""
    place = service.place(id)
    size = size_for(size)
    headers = {"ETag": f'"{place.content}-{size}"', "Cache-Control": "private, no-cache"}
    if if_none_match and headers["ETag"] in if_none_match:
        return Response(status_code=304, headers=headers)
    try:
        data = service.thumbnails.get(place, size)
    except LookalikeError as error:
        raise _gone(error, service) from error
    return Response(data, media_type="image/webp", headers=headers)


_BYTES = {"schema": {"type": "string", "format": "binary"}}
_KNOWN = {"description": "The client has it already."}
for _path, _answer, _summary, _kinds, _statuses in (
    (
        "/images/{id}",
        original,
        "The original file",
        [*SHOWN_BY_BROWSERS.values(), "application/octet-stream"],
        (400, 404, 408, 416, 422),
    ),
    ("/images/{id}/thumbnail", thumbnail, "A small copy", ["image/webp"], (404, 408, 422)),
):
    _responses = {
        **documented(*_statuses),
        200: {"description": _summary, "content": dict.fromkeys(_kinds, _BYTES)},
        304: _KNOWN,
    }
    if _answer is original:
        _responses[206] = {"description": "A part.", "content": dict.fromkeys(_kinds, _BYTES)}
    router.add_api_route(
        _path,
        _answer,
        methods=["GET"],
        summary=_summary,
        response_class=Response,
        responses=_responses,
    )
    router.add_api_route(_path, _answer, methods=["HEAD"], include_in_schema=False)


@router.delete(
    "/images/{id}",
    status_code=204,
    summary="Take a picture out of the index",
    response_class=Response,
    responses=documented(404, 422),
)
def forget(id: Id, service: Served) -> None:  # noqa: A002
    """The row only; the file stays."""
    if not service.index.forget([id]):
        raise service.no_such_picture()


def _wanted(asked: str | None, size: int) -> tuple[int, int] | None:
    """The first and the last byte that are asked for (RFC 9110, 14); None where it is all.

    Several ranges are answered as if none were asked for, as servers may.

    Raises:
        Refused: there are no such bytes.
    """
    found = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", (asked or "").strip())
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if first and last and int(last) < int(first):
        return None
    if start >= size:
        headers = {"Content-Range": f"bytes */{size}"}
        raise Refused(416, "range_not_satisfiable", f"The file has {size} bytes.", headers=headers)
    return start, end


def _read(place: Twin, service: Service) -> bytes:
    """The bytes that were indexed.

    Raises:
        Refused: they are not there any more.
    """

    def work() -> bytes:
        if is_web(place.path):
            # Imported here: few indexes have rows of the web.
            from lookalike.sources.web import fetch  # noqa: PLC0415

            return fetch(
                place.path,
                max_bytes=service.settings.max_upload_bytes,
                timeout_s=service.settings.max_seconds,
                allow_private=bool(service.settings.allow_private_urls),
            )
        with Reader.of(service.settings) as reader:
            return reader.read(place.path)[0]

    try:
        data = service.decoders.run(work)
    except LookalikeError as error:
        raise _gone(error, service) from error
    if hashlib.blake2b(data, digest_size=16).hexdigest() != place.content:
        message = "The file of this picture has changed; index its folder again."
        raise Refused(404, "picture_changed", message)
    return data


def _gone(error: LookalikeError, service: Service) -> Refused:
    """Errors of files tell where these are, so that is left out."""
    reason = f" {error}" if service.options.show_paths else ""
    message = f"The file of this picture cannot be read any more.{reason}"
    return Refused(404, "picture_gone", message)
