"""Pictures that clients send, to ask with them more than once."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Path
from fastapi import UploadFile as SentFile
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from lookalike.decode import decode
from lookalike.serve.problems import documented
from lookalike.serve.questions import THE_PICTURE
from lookalike.serve.routes.search import file_of
from lookalike.serve.service import Served, Service
from lookalike.serve.shapes import ID
from lookalike.serve.thumbnails import as_webp
from lookalike.serve.uploads import Upload
from lookalike.thumbnails import small

router = APIRouter(tags=["search"])
SHOWN_SIDE = 1600


class Uploaded(BaseModel):
    """A picture that can be asked with for a while."""

    id: str = Field(description="Names it in questions.", examples=[ID])
    width: int = Field(description="Pixels, upright.", examples=[500])
    height: int = Field(examples=[375])
    expires_at: float = Field(description="Seconds since 1970; it may go sooner if many come.")


@router.post(
    "/uploads",
    status_code=201,
    summary="Send a picture to ask with",
    responses=documented(400, 408, 413, 415, 422),
)
async def upload(
    picture: Annotated[SentFile, File(description="A picture file.")], service: Served
) -> Uploaded:
    """It is kept for an hour since it was last sent, in memory."""
    data = await file_of(picture, service)
    kept = await run_in_threadpool(_kept, data, service)
    return Uploaded(id=kept.id, width=kept.width, height=kept.height, expires_at=kept.expires_at)


def _kept(data: bytes, service: Service) -> Upload:
    limit = service.questions.max_pixels
    least = service.index.embedder.least

    def work() -> tuple[int, int]:
        facts = decode(data, path=THE_PICTURE, least=least, max_pixels=limit).facts
        return facts.width, facts.height

    width, height = service.decoders.run(work)
    return service.uploads.add(data, width=width, height=height)


@router.get(
    "/uploads/{id}",
    summary="An uploaded picture, as browsers can show it",
    response_class=Response,
    responses={
        **documented(404, 408, 422),
        200: {"content": {"image/webp": {}}, "description": "At most 1600 pixels wide and high."},
    },
)
def shown(
    id: Annotated[str, Path(examples=[ID])],  # noqa: A002
    service: Served,
) -> Response:
    """Decoded and encoded again, so that nothing else is in it."""
    kept = service.uploads.get(id)
    if not kept.preview:
        limit = service.questions.max_pixels

        def work() -> bytes:
            image = small(kept.data, path=THE_PICTURE, side=SHOWN_SIDE, max_pixels=limit)
            return as_webp(image)

        kept.preview = service.decoders.run(work)
    headers = {"Cache-Control": "private, max-age=3600, immutable"}
    return Response(kept.preview, media_type="image/webp", headers=headers)
