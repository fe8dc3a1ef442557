"""Questions, uploads and pictures over HTTP, against what the library says itself."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from lookalike import Crop, Hit, Index, Query, Settings, Term
from lookalike.query.answer import Wanted
from lookalike.query.picture import prepared_term
from lookalike.query.terms import Prepared, RowId
from lookalike.records import row_id
from lookalike.serve import questions, thumbnails
from lookalike.serve import uploads as sent
from lookalike.serve.batching import Batching
from lookalike.serve.decoders import LEFT_BEHIND, Decoders
from lookalike.serve.problems import Refused
from lookalike.thumbnails import small
from tests.encode import encoded, exif, smooth
from tests.sample_server import Site, serving
from tests.serving import API, served

CROP = "10%,10%,50%,50%"


@dataclass(frozen=True)
class Place:
    """An index of sample pictures with labels, its server, and where its pictures lie."""

    index: Index
    client: httpx.Client
    photos: Path
    cache: Path

    def id(self, name: str) -> str:
        return row_id((self.photos / name).as_posix())

    def ask(self, terms: Sequence[dict[str, object]], **more: object) -> Any:
        answer = self.client.post(f"{API}/search", json={"terms": terms, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, answer: httpx.Response) -> tuple[int, str, str | None, int | None]:
        error = answer.json()["error"]
        assert set(error) == {"code", "message", "field", "position"}
        assert str(self.photos.parent) not in answer.text
        return answer.status_code, error["code"], error["field"], error["position"]


@pytest.fixture(scope="module")
def place(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("served")
    photos = folder / "photos"
    for number, path in enumerate(sorted(samples.glob("[bft]*/*.*"))):
        copy = photos / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        if number % 9 == 0:
            copy.with_name(f"again-{path.name}").write_bytes(path.read_bytes())
    turned = encoded(smooth(40, 60), "TIFF", exif=exif(6).tobytes())
    (photos / "turned.tif").write_bytes(turned)
    with Index.open(folder / "photos.db") as index:
        index.add(photos, metadata=lambda path: {"group": Path(path).parent.name})
        with served(index, cache=folder / "cache") as client:
            yield Place(index, client, photos, folder / "cache")


def seen(hits: Sequence[Hit]) -> list[tuple[str, float]]:
    return [(hit.id, hit.score) for hit in hits]


def told(answer: Any) -> list[tuple[str, float]]:
    return [(hit["id"], hit["score"]) for hit in answer["hits"]]


def close(answer: Any, hits: Sequence[Hit]) -> bool:
    """Batches may be cut differently, which changes bf16 sums a little."""
    ours, theirs = dict(told(answer)), dict(seen(hits))
    return ours.keys() == theirs.keys() and all(abs(ours[key] - theirs[key]) < 1e-3 for key in ours)


def test_a_picture_in_a_form_finds_what_the_library_finds(place: Place) -> None:
    crow = place.photos / "birds" / "crow.jpg"
    form = {"limit": "5", "offset": "1", "filter": 'group = "birds"', "diverse": "true"}
    answer = place.client.post(f"{API}/search", data=form, files={"picture": crow.read_bytes()})
    expected = place.index.search(crow, limit=5, offset=1, where='group = "birds"', diverse=True)
    assert told(answer.json()) == seen(expected)
    first, hit = answer.json()["hits"][0], expected[0]
    assert first == {
        "id": hit.id,
        "name": Path(hit.path).name,
        "score": hit.score,
        "width": hit.width,
        "height": hit.height,
        "size_bytes": hit.size_bytes,
        "taken_at": None,
        "format": "jpeg",
        "animated": False,
        "content": hit.content,
        "metadata": {"group": "birds"},
        "similar_count": hit.similar_count,
    }
    assert answer.json()["query"] == {
        "terms": [{"kind": "picture", "value": None, "weight": 1.0, "crop": None}],
        "limit": 5,
        "offset": 1,
        "where": 'group = "birds"',
        "min_score": None,
        "auto": False,
        "diverse": True,
    }


def test_a_form_may_have_several_pictures_a_crop_and_terms(place: Place) -> None:
    crow, oak = place.photos / "birds" / "crow.jpg", place.photos / "trees" / "holm-oak.jpg"
    files = [("picture", crow.read_bytes()), ("picture", oak.read_bytes())]
    less = place.id("flowers/petunia.jpg")
    form = {"terms": json.dumps([{"id": less, "weight": -0.5}])}
    answer = place.client.post(f"{API}/search", data=form, files=files).json()
    query = Query([crow, oak, Term(RowId(less), -0.5)])
    assert close(answer, place.index.search(query, limit=24))
    part = place.client.post(f"{API}/search", data={"crop": CROP}, files=files[:1]).json()
    assert told(part) == seen(place.index.search(crow, crop=CROP, limit=24))


def test_terms_of_all_kinds_are_one_question(place: Place) -> None:
    crow, oak = place.photos / "birds" / "crow.jpg", place.photos / "trees" / "holm-oak.jpg"
    upload = place.client.post(f"{API}/uploads", files={"picture": crow.read_bytes()}).json()
    terms: list[dict[str, object]] = [
        {"upload": upload["id"], "crop": CROP},
        {"id": place.id("trees/holm-oak.jpg"), "weight": 0.7, "crop": "0%,0%,60%,60%"},
        {"id": place.id("flowers/petunia.jpg"), "weight": -0.3},
    ]
    query = Query(
        [
            Term(crow, crop=CROP),
            Term(oak, 0.7, Crop(0, 0, 60, 60, percent=True)),
            Term(RowId(place.id("flowers/petunia.jpg")), -0.3),
        ]
    )
    expected = place.index.search(query, limit=7, min_score=0.1)
    for _ in range(2):  # the second time from what was kept
        answer = place.ask(terms, limit=7, min_score=0.1)
        assert close(answer, expected)
    assert [term["kind"] for term in answer["query"]["terms"]] == ["upload", "id", "id"]
    one = place.ask([{"upload": upload["id"]}], crop=CROP, auto=True)
    assert close(one, place.index.search(crow, crop=CROP, limit=24, auto=True))


def test_pages_fit_together_and_tell_whether_more_follow(place: Place) -> None:
    terms: list[dict[str, object]] = [{"id": place.id("birds/crow.jpg")}]
    everything = seen(place.index.search(Query([RowId(place.id("birds/crow.jpg"))]), limit=1000))
    pages, more, offset = [], True, 0
    while more:
        page = place.ask(terms, limit=20, offset=offset)
        pages += told(page)
        more, offset = page["more"], offset + 20
    assert pages == everything
    assert len(everything) == len(place.index)


def test_what_is_similar_leaves_the_picture_itself_out(place: Place) -> None:
    key = place.id("birds/crow.jpg")
    expected = seen(place.index.similar(key, limit=30))
    url = f"{API}/images/{key}/similar"
    first = place.client.get(url, params={"limit": 12}).json()
    second = place.client.get(url, params={"limit": 18, "offset": 12}).json()
    assert told(first) + told(second) == expected
    assert first["more"] and key not in dict(expected)
    end = place.client.get(url, params={"offset": len(place.index) - 2}).json()
    assert (len(end["hits"]), end["more"]) == (1, False)


def test_all_pictures_can_be_listed_in_one_order(place: Place) -> None:
    pages = [
        place.client.get(f"{API}/images", params={"limit": 10, "offset": offset}).json()
        for offset in range(0, len(place.index), 10)
    ]
    ids = [image["id"] for page in pages for image in page["images"]]
    assert (len(set(ids)), len(ids)) == (len(place.index),) * 2
    assert [page["more"] for page in pages] == [True] * (len(pages) - 1) + [False]
    birds = place.client.get(
        f"{API}/images", params={"where": 'group = "birds"', "limit": 100}
    ).json()
    names = {path.name for path in (place.photos / "birds").iterdir()}
    assert {image["name"] for image in birds["images"]} == names


def test_info_tells_what_the_index_is_and_what_can_be_asked(place: Place) -> None:
    info = place.client.get(f"{API}/info").json()
    assert (info["pictures"], info["dim"], info["reads_words"]) == (len(place.index), 384, False)
    assert {"group", "width", "taken_at"} <= set(info["fields"])
    assert not {"path", "database"} & {*info["fields"], *info}
    assert info["limits"]["pixels"] == 50_000_000


BAD: list[tuple[dict[str, object], tuple[int, str, str | None, int | None]]] = [
    ({"terms": []}, (422, "invalid_question", None, None)),
    ({"terms": [{}]}, (422, "invalid_request", "terms.0", None)),
    ({"terms": [{"path": "/etc/passwd"}]}, (422, "invalid_request", "terms.0.path", None)),
    ({"terms": [{"id": "0" * 32}]}, (422, "invalid_question", None, None)),
    ({"terms": [{"id": "../../etc/passwd"}]}, (422, "invalid_question", None, None)),
    ({"terms": [{"upload": "0" * 32}]}, (404, "upload_gone", None, None)),
    ({"terms": [{"url": "file:///etc/passwd"}]}, (422, "invalid_question", None, None)),
    ({"terms": [{"url": "/etc/passwd"}]}, (422, "invalid_question", None, None)),
    ({"terms": [{"url": "http://127.0.0.1/"}]}, (422, "invalid_question", None, None)),
    ({"terms": [{"words": "a cat"}]}, (422, "invalid_question", None, None)),
    ({"limit": 0}, (422, "invalid_request", "limit", None)),
    ({"limit": 1001}, (422, "invalid_request", "limit", None)),
    ({"offset": -1}, (422, "invalid_request", "offset", None)),
    ({"where": "width >"}, (422, "invalid_question", "where", 8)),
    ({"where": "colour = 1"}, (422, "invalid_question", "where", 1)),
    ({"filter": 'width > 1 and path under "/"'}, (422, "invalid_question", "where", 15)),
    ({"where": 'not (width > 1 or path = "/a")'}, (422, "invalid_question", "where", 19)),
    ({"where": "path is missing"}, (422, "invalid_question", "where", 1)),
    ({"crop": "1,2,3"}, (422, "invalid_question", None, None)),
    ({"colour": "red"}, (422, "invalid_request", "colour", None)),
]


@pytest.mark.parametrize(("body", "expected"), BAD, ids=[str(body) for body, _ in BAD])
def test_a_bad_question_is_refused_in_the_one_shape(
    place: Place, body: dict[str, object], expected: tuple[int, str, str | None, int | None]
) -> None:
    asked = {"terms": [{"id": place.id("birds/crow.jpg")}], **body}
    answer = place.client.post(f"{API}/search", json=asked)
    assert place.refused(answer) == expected


def test_what_is_no_question_at_all_is_refused_too(place: Place) -> None:
    post, form = place.client.post, {"Content-Type": "multipart/form-data"}
    refusals = {
        "no json": post(
            f"{API}/search", content=b"{", headers={"Content-Type": "application/json"}
        ),
        "text": post(f"{API}/search", content=b"crow", headers={"Content-Type": "text/plain"}),
        "no type": post(f"{API}/search", content=b"crow"),
        "no boundary": post(f"{API}/search", content=b"crow", headers=form),
        "no file": post(f"{API}/uploads", data={"picture": "crow"}),
        "no terms": post(f"{API}/search", files={"picture": b"x"}, data={"terms": "["}),
        "no name": post(f"{API}/search", files={"other": b"x"}),
        "list": post(f"{API}/search", json=[1]),
    }
    found = {name: place.refused(answer)[0] for name, answer in refusals.items()}
    assert found == {
        **dict.fromkeys(refusals, 422),
        "text": 415,
        "no type": 415,
        "no boundary": 400,
    }


def test_errors_do_not_tell_which_files_there_are(place: Place) -> None:
    there, nowhere = str(place.photos / "birds"), str(place.photos / "nothing.jpg")
    answers = [
        place.client.post(f"{API}/search", json={"terms": [{kind: value}]}).json()
        for kind in ("words", "id", "url")
        for value in (there, nowhere, "clipboard:", "-", f"file:{there}")
    ]
    for kind in range(0, len(answers), 5):
        assert len({str(answer) for answer in answers[kind : kind + 5]}) == 1


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 415, "not_a_picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not_a_picture"),
        (encoded(smooth(64, 64), "JPEG")[:300], 415, "not_a_picture"),
        (encoded(Image.new("1", (8000, 7000)), "PNG"), 413, "too_many_pixels"),
    ],
    ids=["empty", "svg", "cut", "giant"],
)
def test_what_is_no_usable_picture_is_refused(
    place: Place, data: bytes, status: int, code: str
) -> None:
    for url in (f"{API}/uploads", f"{API}/search"):
        answer = place.client.post(url, files={"picture": ("/etc/a.jpg", data)})
        assert place.refused(answer)[:2] == (status, code)


def test_an_upload_can_be_looked_at_and_has_nothing_but_pixels(place: Place) -> None:
    data = encoded(smooth(300, 200), "JPEG", exif=exif(6, Make="Secret").tobytes())
    answer = place.client.post(f"{API}/uploads", files={"picture": data})
    upload = answer.json()
    assert answer.status_code == 201
    assert upload["id"] == hashlib.blake2b(data, digest_size=16).hexdigest()
    assert 3500 < upload["expires_at"] - time.time() <= 3600
    shown = place.client.get(f"{API}/uploads/{upload['id']}")
    image = Image.open(io.BytesIO(shown.content))
    assert (upload["width"], upload["height"]) == image.size == (200, 300)  # upright
    assert shown.headers["content-type"] == "image/webp"
    assert not image.getexif() and b"Secret" not in shown.content


def test_uploads_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = sent.Uploads()
    monkeypatch.setattr(sent, "MOST", 3)
    ids = [kept.add(bytes([number]) * 10, width=1, height=1).id for number in range(4)]
    kept.get(ids[1])
    kept.add(b"another", width=1, height=1)
    for gone in (ids[0], ids[2], "../x"):
        with pytest.raises(Refused, match="send it again"):
            kept.get(gone)
    pixels = np.zeros((1, 224, 224, 3), np.uint8)
    kept.get(ids[1]).keep(None, Prepared(pixels, "a picture"))
    assert kept.get(ids[1]).size_bytes == 10 + pixels.nbytes
    monkeypatch.setattr(sent, "MOST_BYTES", 15)
    last = kept.add(b"x" * 20, width=1, height=1)
    assert kept.get(last.id) is last
    with pytest.raises(Refused):
        kept.get(ids[1])
    last.expires_at = time.time() - 1
    with pytest.raises(Refused):
        kept.get(last.id)


def test_the_original_is_sent_as_it_is_whole_or_in_part(place: Place) -> None:
    path = place.photos / "birds" / "crow.jpg"
    url = f"{API}/images/{place.id('birds/crow.jpg')}"
    whole = place.client.get(url)
    assert whole.content == path.read_bytes()
    assert whole.headers["content-type"] == "image/jpeg"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-disposition"] == "inline; filename*=UTF-8''crow.jpg"
    head = place.client.head(url)
    assert (head.content, head.headers["content-length"]) == (b"", str(path.stat().st_size))
    part = place.client.get(url, headers={"Range": "bytes=5-14"})
    assert (part.status_code, part.content) == (206, path.read_bytes()[5:15])
    assert part.headers["content-range"] == f"bytes 5-14/{path.stat().st_size}"
    end = place.client.get(url, headers={"Range": "bytes=-10"})
    assert (end.status_code, end.content) == (206, path.read_bytes()[-10:])
    beyond = place.client.get(url, headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == 416
    again = place.client.get(url, headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    saved = place.client.get(f"{API}/images/{place.id('turned.tif')}").headers
    assert saved["content-disposition"].startswith("attachment")
    assert saved["content-type"] == "application/octet-stream"


def test_what_lies_where_a_picture_was_is_not_sent(place: Place, tmp_path: Path) -> None:
    path = place.photos / "birds" / "crow.jpg"
    url = f"{API}/images/{place.id('birds/crow.jpg')}"
    secret = tmp_path / "secret.txt"
    secret.write_text("not for you")
    original = path.read_bytes()
    path.unlink()
    path.symlink_to(secret)
    try:
        answer = place.client.get(url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "picture_changed")
        assert "not for you" not in answer.text
    finally:
        path.unlink()
        path.write_bytes(original)
    assert place.client.get(url).content == original


@pytest.mark.parametrize(
    "key", ["0" * 32, "A" * 32, "x", "..%2f..%2fetc%2fpasswd", "%00", "a" * 500, "{a}' or 1=1"]
)
def test_an_id_that_is_none_names_nothing(place: Place, key: str) -> None:
    for way in ("", "/thumbnail", "/similar", "/details"):
        assert place.client.get(f"{API}/images/{key}{way}").status_code == 404
    assert place.client.delete(f"{API}/images/{key}").status_code == 404
    assert place.client.get(f"{API}/uploads/{key}").status_code == 404


def test_a_thumbnail_is_small_upright_and_not_sent_twice(place: Place) -> None:
    url = f"{API}/images/{place.id('turned.tif')}/thumbnail"
    small = place.client.get(url, params={"size": 33})
    image = Image.open(io.BytesIO(small.content))
    assert (image.format, image.size) == ("WEBP", (60, 40))  # never enlarged
    reference = Image.fromarray(smooth(40, 60)).rotate(-90, expand=True)
    difference = np.asarray(image, int) - np.asarray(reference, int)
    assert np.abs(difference).mean() < 8
    crow = f"{API}/images/{place.id('birds/crow.jpg')}/thumbnail"
    for asked, made in ((64, 64), (65, 128), (1024, 197)):
        sides = Image.open(io.BytesIO(place.client.get(crow, params={"size": asked}).content)).size
        assert max(sides) == made
    again = place.client.get(
        url, params={"size": 64}, headers={"If-None-Match": small.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    other = place.client.get(
        url, params={"size": 65}, headers={"If-None-Match": small.headers["etag"]}
    )
    assert other.status_code == 200
    for size in (0, 1025, "x"):
        assert place.client.get(url, params={"size": size}).status_code == 422


def test_a_thumbnail_is_made_once_however_many_ask(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def counted(data: bytes, *, path: str, side: int, max_pixels: int) -> Image.Image:
        made.append(path)
        time.sleep(0.2)
        return small(data, path=path, side=side, max_pixels=max_pixels)

    monkeypatch.setattr(thumbnails, "small", counted)
    url = f"{API}/images/{place.id('birds/duck.jpg')}/thumbnail?size=128"
    with ThreadPoolExecutor(12) as pool:
        bodies = {each.content for each in pool.map(place.client.get, [url] * 12)}
    assert place.client.get(url).content in bodies
    assert (len(bodies), len(made)) == (1, 1)
    (copy,) = [place.photos / "birds" / "again-blackbird.jpg"]
    assert copy.exists()
    for name in ("blackbird.jpg", "again-blackbird.jpg"):  # the same bytes
        place.client.get(f"{API}/images/{place.id(f'birds/{name}')}/thumbnail?size=128")
    assert len(made) == 2


def test_the_cache_of_thumbnails_is_bounded_and_survives_the_server(
    place: Place, tmp_path: Path
) -> None:
    decoders = Decoders(2, 30)
    rows = [place.index.place(place.id(f"birds/{name}.jpg")) for name in ("crow", "duck", "lark")]
    first = thumbnails.Thumbnails(settings=Settings(), decoders=decoders, folder=tmp_path)
    sizes = [len(first.get(row, 64)) for row in rows if row]
    names = [f"{row.content}-64.webp" for row in rows if row]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    room = sum(sizes) - 1
    again = thumbnails.Thumbnails(
        settings=Settings(), decoders=decoders, folder=tmp_path, most_bytes=room
    )
    assert rows[0]
    again.get(rows[0], 64)
    left = {path.name for path in tmp_path.iterdir()}
    assert names[2] in left and len(left) == 3 - (names[0] not in left) - (names[1] not in left)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= room


def test_a_changed_picture_gets_another_thumbnail_and_a_lost_one_none(
    tmp_path: Path, samples: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    path = photos / "a.png"
    path.write_bytes(encoded(smooth(30, 30), "PNG"))
    (photos / "b.jpg").write_bytes((samples / "birds" / "crow.jpg").read_bytes())
    with Index.open(tmp_path / "a.db") as index:
        index.add(photos)
        with served(index, cache=tmp_path / "cache") as client:
            url = f"{API}/images/{row_id(path.as_posix())}"
            before = client.get(f"{url}/thumbnail")
            path.write_bytes(encoded(smooth(50, 20), "PNG"))
            index.add(photos)
            headers = {"If-None-Match": before.headers["etag"]}
            after = client.get(f"{url}/thumbnail", headers=headers)
            assert Image.open(io.BytesIO(after.content)).size == (50, 20)
            path.write_bytes(encoded(smooth(9, 9), "PNG"))  # and not indexed
            other = client.get(f"{url}/thumbnail?size=64")
            assert Image.open(io.BytesIO(other.content)).size == (9, 9)
            assert not list((tmp_path / "cache").glob("*-64.webp"))
            path.unlink()
            for way in ("", "/thumbnail?size=512"):
                gone = client.get(url + way)
                assert (gone.status_code, gone.json()["error"]["code"]) == (404, "picture_gone")
                assert str(tmp_path) not in gone.text
            cropped = {"terms": [{"id": row_id(path.as_posix()), "crop": CROP}]}
            refused = client.post(f"{API}/search", json=cropped)
            assert refused.json()["error"]["code"] == "picture_gone"
            assert str(tmp_path) not in refused.text
            assert client.delete(url).status_code == 204
            assert client.get(f"{url}/details").status_code == 404
            assert (len(index), (photos / "b.jpg").exists()) == (1, True)


def test_paths_are_told_only_where_they_may_be(place: Place, tmp_path: Path) -> None:
    key = place.id("birds/crow.jpg")
    crow = {"picture": (place.photos / "birds" / "crow.jpg").read_bytes()}
    folder = place.photos.parent.as_posix()

    def answers(client: httpx.Client) -> dict[str, str]:
        gets = ("info", "images", f"images/{key}/details", f"images/{key}/similar", "duplicates")
        said = {way: client.get(f"{API}/{way}").text for way in gets}
        said["search"] = client.post(f"{API}/search", files=crow).text
        return said

    assert [way for way, text in answers(place.client).items() if folder in text] == []
    with served(place.index, cache=tmp_path, show_paths=True) as client:
        told = answers(client)
        assert [way for way, text in told.items() if folder in text] == list(told)
        under: dict[str, str | int] = {"where": f'path under "{folder}/photos/birds"', "limit": 100}
        birds = client.get(f"{API}/images", params=under).json()["images"]
        assert {Path(each["path"]).parent.name for each in birds} == {"birds"}


def test_an_address_is_asked_only_if_it_is_public_or_that_is_allowed(
    place: Place, tmp_path: Path
) -> None:
    crow = place.photos / "birds" / "crow.jpg"
    with serving(Site(crow.read_bytes(), kind="image/jpeg")) as site:
        body = {"terms": [{"url": site.url}], "limit": 5}
        refused = place.client.post(f"{API}/search", json=body)
        assert place.refused(refused)[:2] == (422, "invalid_question")
        named = {"terms": [{"url": site.url.replace("127.0.0.1", "localhost")}]}
        assert "127.0.0.1" not in place.client.post(f"{API}/search", json=named).text
        assert site.asked == []
        allowed = Settings(allow_private_urls=1, max_upload_bytes=6000)
        with served(place.index, cache=tmp_path, settings=allowed) as client:
            found = client.post(f"{API}/search", json=body).json()
            assert told(found) == seen(place.index.search(crow, limit=5))
            site.body = bytes(7000)
            assert client.post(f"{API}/search", json=body).status_code == 422


def test_a_picture_that_takes_too_long_is_given_up_and_the_server_goes_on(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slow(term: Term, **options: Any) -> Term:
        go_on.wait(30)
        return prepared_term(term, **options)

    crow = {"picture": (place.photos / "birds" / "crow.jpg").read_bytes()}
    with served(place.index, cache=tmp_path, settings=Settings(max_seconds=1)) as client:
        monkeypatch.setattr(questions, "prepared_term", slow)
        ask: Callable[[object], httpx.Response] = lambda _: client.post(  # noqa: E731
            f"{API}/search", files=crow
        )
        with ThreadPoolExecutor(LEFT_BEHIND) as pool:
            late = [place.refused(answer)[:2] for answer in pool.map(ask, range(LEFT_BEHIND))]
        assert set(late) <= {(408, "too_slow"), (503, "busy")}
        assert (408, "too_slow") in late
        assert client.get(f"{API}/images").status_code == 200
        go_on.set()
        time.sleep(0.5)
        assert ask(None).status_code == 200


def test_questions_at_the_same_time_have_the_answers_that_each_has_alone(place: Place) -> None:
    pictures = sorted(place.photos.glob("*/*.*"))[:16]
    bad: dict[str, object] = {"terms": [{"id": "f" * 32}]}

    def ask(number: int) -> Any:
        path = pictures[number % 16]
        if number % 5 == 0:
            return place.client.post(f"{API}/search", json=bad).status_code
        if number % 2:
            files = {"picture": path.read_bytes()}
            return place.client.post(f"{API}/search", files=files, data={"limit": "5"}).json()
        key = row_id(path.as_posix())
        return place.ask([{"id": key}], limit=5, where="width > 100" if number % 4 else None)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(64)))
    for number, answer in enumerate(answers):
        path = pictures[number % 16]
        if number % 5 == 0:
            assert answer == 422
            continue
        where = "width > 100" if not number % 2 and number % 4 else None
        expected = place.index.search(path, limit=5, where=where)
        # Copies have equal scores but for the sums.
        ours = dict(told(answer))
        theirs = {hit.id: hit.score for hit in place.index.search(path, limit=9, where=where)}
        assert all(abs(score - theirs[key]) < 2e-3 for key, score in ours.items())
        assert len(ours) == len(expected)


def test_questions_that_take_long_do_not_keep_others_waiting(place: Place) -> None:
    asked = Batching(place.index, most=16)
    key = row_id(min(place.photos.glob("*/*.*")).as_posix())
    free = threading.Event()

    class Slow:
        """An index that takes long for what is diverse."""

        def search_each(self, queries: Any, wanted: Any) -> list[list[Hit]]:
            if wanted[0].diverse:
                free.wait(30)
            return place.index.search_each(queries, wanted)

    asked._index = Slow()  # type: ignore[assignment]
    long = asked.search(Query([RowId(key)]), Wanted(limit=3, diverse=True))
    assert len(asked.search(Query([RowId(key)]), Wanted(limit=3)).result(20)) == 3
    assert not long.done()
    free.set()
    assert len(long.result(20)) == 3


def test_what_waits_is_asked_together_and_one_bad_question_spoils_no_other(place: Place) -> None:
    sizes: list[int] = []
    asked = Batching(place.index, most=16, on_batch=sizes.append)
    keys = [row_id(path.as_posix()) for path in sorted(place.photos.glob("*/*.*"))[:20]]
    wanted = Wanted(limit=3)
    started, free = threading.Event(), threading.Event()

    class Slow:
        """An index whose first answer takes until others wait."""

        def search_each(self, *args: Any) -> list[list[Hit]]:
            started.set()
            free.wait(30)
            return place.index.search_each(*args)

    asked._index = Slow()  # type: ignore[assignment]
    first = asked.search(Query([RowId(keys[0])]), wanted)
    started.wait(30)
    waiting = [asked.search(Query([RowId(key)]), wanted) for key in keys]
    free.set()
    assert len(first.result(30)) == 3
    found = [future.result(30) for future in waiting]
    assert [hits[0].score for hits in found] == pytest.approx([1.0] * 20)
    assert sizes == [1, 16, 4]
    bad = asked.search(Query([RowId("f" * 32)]), wanted)
    good = asked.search(Query([RowId(keys[0])]), wanted)
    assert len(good.result(30)) == 3
    with pytest.raises(Exception, match="no picture with the id"):
        bad.result(30)
