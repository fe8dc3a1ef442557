"""Pictures that are in the index more than once, and what is done with them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from lookalike.records import Disposal, DisposalReport, row_id
from lookalike.serve.problems import Refused, documented
from lookalike.serve.service import Served
from lookalike.serve.shapes import ID, Copy, Limit, Offset, copy

router = APIRouter(prefix="", tags=["duplicates"])

Level = Literal["exact", "near", "similar"]
Policy = Literal["most-pixels", "largest", "newest", "oldest", "shortest-path"]


class Group(BaseModel):
    """A picture and those that it stands for."""

    keep: Copy
    others: list[Copy]


class Groups(BaseModel):
    """Groups of duplicates."""

    groups: list[Group]
    total: int = Field(description="How many groups there are.")
    more: bool = Field(description="Whether more follow.")


class Discard(BaseModel):
    """What is kept, and what is not."""

    model_config = ConfigDict(extra="forbid")

    keep: str = Field(examples=[ID])
    discard: list[str] = Field(min_length=1, max_length=1000, examples=[[ID[::-1]]])
    files: bool = Field(
        default=False, description="Put the files into the trash; else only rows are removed."
    )


class Left(BaseModel):
    """A picture that was left alone."""

    id: str = Field(examples=[ID])
    reason: str


class Done(BaseModel):
    """What became of pictures."""

    done: list[str] = Field(examples=[[ID]])
    refused: list[Left]
    undo: str | None = Field(default=None, description="For /undo, if files were touched.")


class Undo(BaseModel):
    """What is to be undone."""

    model_config = ConfigDict(extra="forbid")

    undo: str = Field(max_length=100, examples=[ID])


@router.get(
    "/duplicates",
    summary="Pictures that are there more than once",
    response_model_exclude_unset=True,
    responses=documented(422),
)
def duplicates(
    service: Served,
    level: Annotated[Level, Query(description="How alike is enough.")] = "near",
    keep: Annotated[Policy, Query(description="Which one of a group is kept.")] = "most-pixels",
    limit: Annotated[Limit, Query()] = 24,
    offset: Annotated[Offset, Query()] = 0,
) -> Groups:
    """In the order of the paths of what is kept; looked for once, until the index changes."""
    show_paths = service.options.show_paths
    found = service.groups.of(level, keep)
    groups = [
        Group(
            keep=copy(group.keep, show_paths=show_paths),
            others=[copy(row, show_paths=show_paths) for row in group.others],
        )
        for group in found[offset : offset + limit]
    ]
    return Groups(groups=groups, total=len(found), more=len(found) > offset + limit)


@router.post(
    "/duplicates/discard",
    summary="Take duplicates out of the index, or put their files into the trash",
    responses=documented(400, 404, 409, 422),
)
def discard(body: Discard, service: Served) -> Done:
    """Files only if the server was started with --allow-trash, and each is read again before."""
    if body.keep in body.discard:
        raise Refused(409, "not_possible", "The kept picture cannot be discarded.", field="discard")
    if body.files and not service.options.allow_trash:
        message = "Files are not touched by request; start the server with --allow-trash."
        raise Refused(403, "trash_not_allowed", message)
    service.place(body.keep)
    if body.files:
        report, token = service.groups.trash(body.keep, body.discard)
        return _done(report, token, show_paths=service.options.show_paths)
    done = service.index.forget(body.discard)
    missing = [key for key in dict.fromkeys(body.discard) if key not in done]
    reason = "there is no such picture in the index"
    return Done(done=done, refused=[Left(id=key, reason=reason) for key in missing])


@router.post("/undo", summary="Put discarded files back", responses=documented(400, 404, 422))
def undo(body: Undo, service: Served) -> Done:
    """They are indexed again, too; nothing is overwritten."""
    if not service.options.allow_trash:
        message = "Files are not touched by request; start the server with --allow-trash."
        raise Refused(403, "trash_not_allowed", message)
    report = service.groups.undo(body.undo)
    return _done(report, None, show_paths=service.options.show_paths)


def _done(report: DisposalReport, token: str | None, *, show_paths: bool) -> Done:
    refused = [
        Left(id=row_id(each.path), reason=_reason(each, show_paths=show_paths))
        for each in report.refused
    ]
    return Done(done=[row_id(each.path) for each in report.done], refused=refused, undo=token)


def _reason(disposal: Disposal, *, show_paths: bool) -> str:
    """Why, with names in the place of paths unless these are shown."""
    reason = disposal.refused
    if not show_paths:
        for path in sorted((disposal.path, disposal.keep, disposal.target), key=len, reverse=True):
            reason = reason.replace(path, path.rsplit("/", 1)[-1]) if path else reason
        if "/" in reason:
            return "it cannot be done; the server was started without --show-paths"
    return reason
