"""What a client asks becomes a question of the library's.

A client's text is never taken for a path, nor for anything else that it does not say it is.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

from lookalike.embed.embedder import reads_words
from lookalike.errors import InvalidQuestion, PictureError
from lookalike.index import Index
from lookalike.query.language import is_web
from lookalike.query.picture import prepared_term
from lookalike.query.question import Query
from lookalike.query.terms import Encoded, File, Prepared, RowId, Term, WebAddress, Words
from lookalike.query.where import fault, names_in, parse
from lookalike.records import is_row_id
from lookalike.serve.decoders import Decoders
from lookalike.serve.options import ServeOptions
from lookalike.serve.problems import Refused
from lookalike.serve.shapes import AskedTerm
from lookalike.serve.uploads import Upload, Uploads
from lookalike.settings import Settings
from lookalike.sources.reader import Reader
from lookalike.sources.web import fetch

THE_PICTURE = "the picture"
FETCHES = 8
MOST_ADDRESSES = 4  # they are fetched one after the other
FETCH_S = 20


class Questions:
    """Makes questions; its methods wait for decoders and for the network."""

    def __init__(
        self,
        index: Index,
        *,
        options: ServeOptions,
        settings: Settings,
        uploads: Uploads,
        decoders: Decoders,
    ) -> None:
        self._index, self._options, self._settings = index, options, settings
        self._of_clients = dataclasses.replace(
            settings,
            max_pixels=min(settings.max_pixels, settings.max_upload_pixels),
            max_bytes=min(settings.max_bytes, settings.max_upload_bytes),
        )
        self._uploads, self._decoders = uploads, decoders
        self._fetching = threading.Semaphore(FETCHES)

    @property
    def max_pixels(self) -> int:
        """The largest picture that is taken from clients."""
        return self._of_clients.max_pixels

    def query(
        self, terms: Sequence[AskedTerm], *, pictures: Sequence[bytes] = (), crop: str | None = None
    ) -> Query:
        """The question of some terms and pictures, ready for the model.

        Args:
            terms: as the client has sent them.
            pictures: files that came with them.
            crop: the part that is meant of the only picture.

        Raises:
            InvalidQuestion: it makes no sense.
            PictureError: a picture of the client's cannot be used.
            Refused: something is gone, or takes too long.
        """
        terms = list(terms)
        if crop is not None and not pictures:
            terms = _cropped(terms, crop)
            crop = None
        if crop is not None and (len(pictures) != 1 or any(map(_is_picture, terms))):
            raise InvalidQuestion(
                f"The crop {crop} is not of one picture; give each term a crop of its own."
            )
        if sum(term.url is not None for term in terms) > MOST_ADDRESSES:
            raise InvalidQuestion(f"A question names {MOST_ADDRESSES} addresses at most.")
        sent = [self._prepared(Term(Encoded(each, THE_PICTURE), crop=crop)) for each in pictures]
        return Query([*sent, *map(self._term, terms)])

    def _term(self, asked: AskedTerm) -> Term:
        weight, crop = asked.weight, asked.crop
        if asked.words is not None:
            # Without this, errors would tell which files there are.
            if not reads_words(self._index.embedder):
                raise InvalidQuestion(
                    "Words need a model that reads them, which this index was not made with."
                )
            return Term(Words(asked.words), weight, crop)
        if asked.id is not None:
            return self._row(asked.id, weight, crop)
        if asked.upload is not None:
            return self._upload(self._uploads.get(asked.upload), weight, crop)
        assert asked.url is not None  # noqa: S101 - `AskedTerm` has seen to it
        return self._prepared(Term(WebAddress(asked.url), weight, crop))

    def _row(self, key: str, weight: float, crop: str | None) -> Term:
        if not is_row_id(key):
            raise InvalidQuestion("An id has 32 hexadecimal digits, as hits show it.")
        if crop is None:
            return Term(RowId(key), weight)
        place = self._index.place(key)
        if place is None:
            raise InvalidQuestion(f"There is no picture with the id {key} in this index.")
        try:
            return self._prepared(Term(File(place.path), weight, crop), own=True)
        except PictureError as error:
            reason = f" ({error.reason})" if self._options.show_paths else ""
            message = f"The file of the picture {key} cannot be used any more{reason}."
            raise Refused(404, "picture_gone", message) from error

    def _upload(self, upload: Upload, weight: float, crop: str | None) -> Term:
        part = upload.parts.get(crop)
        if part is None:
            term = self._prepared(Term(Encoded(upload.data, THE_PICTURE), crop=crop))
            assert isinstance(term.value, Prepared)  # noqa: S101
            part = term.value
            upload.keep(crop, part)
        return Term(part, weight)

    def _prepared(self, term: Term, *, own: bool = False) -> Term:
        """The term with its picture as the model takes it; the limits are those of clients."""
        (term,) = Query([term]).terms  # which reads the crop
        if isinstance(term.value, WebAddress):
            term = dataclasses.replace(term, value=self._fetched(term.value.url))
        settings = self._settings if own else self._of_clients

        def work() -> Term:
            with Reader.of(settings) as reader:
                embedder = self._index.embedder
                return prepared_term(term, embedder=embedder, reader=reader, settings=settings)

        prepared = self._decoders.run(work)
        assert isinstance(prepared.value, Prepared)  # noqa: S101
        return dataclasses.replace(prepared, value=Prepared(prepared.value.pixels, THE_PICTURE))

    def _fetched(self, url: str) -> Encoded:
        if not is_web(url):
            raise InvalidQuestion("Only http and https addresses are asked.")
        if not self._fetching.acquire(timeout=1):
            raise Refused(503, "busy", "Too many addresses are being asked; try again.")
        try:
            limits = self._of_clients
            data = fetch(
                url,
                max_bytes=limits.max_bytes,
                timeout_s=min(limits.max_seconds, FETCH_S),
                allow_private=bool(limits.allow_private_urls),
            )
        except InvalidQuestion:
            # Its message has the IP address behind a name, which may be one of this network only.
            raise InvalidQuestion(
                "This address is not asked, or one that it leads to: only public http and https "
                "addresses without a name or password are (LOOKALIKE_ALLOW_PRIVATE_URLS)."
            ) from None
        finally:
            self._fetching.release()
        return Encoded(data, THE_PICTURE)


def checked(where: str | None, *, show_paths: bool) -> str | None:
    """A filter that does not ask about what is not shown.

    Raises:
        InvalidQuestion: it does, or it is no filter.
    """
    if where is not None and not show_paths and "path" in where:
        for name in names_in(parse(where)):
            if name.name == "path":
                raise fault(name.column, "this server does not tell paths (--show-paths).")
    return where


def described(terms: Sequence[AskedTerm], pictures: int, crop: str | None) -> list[dict[str, Any]]:
    """The terms as an answer has them."""
    sent = [{"kind": "picture", "value": None, "weight": 1.0, "crop": crop}] * pictures
    if crop is not None and not pictures:
        terms = _cropped(terms, crop)
    for term in terms:
        kind = next(
            kind for kind in ("id", "upload", "url", "words") if getattr(term, kind) is not None
        )
        value = getattr(term, kind)
        sent.append({"kind": kind, "value": value, "weight": term.weight, "crop": term.crop})
    return sent


def _is_picture(term: AskedTerm) -> bool:
    return term.words is None


def _cropped(terms: Sequence[AskedTerm], crop: str) -> list[AskedTerm]:
    pictures = [term for term in terms if _is_picture(term)]
    if len(pictures) != 1 or pictures[0].crop is not None:
        raise InvalidQuestion(
            f"The crop {crop} is not of one picture; give each term a crop of its own."
        )
    return [
        term.model_copy(update={"crop": crop}) if term is pictures[0] else term for term in terms
    ]
