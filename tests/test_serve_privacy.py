"""What clients do not learn, and cannot do, whatever they ask for."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from lookalike import Index, Settings
from lookalike.serve.app import create_app
from lookalike.serve.guarding import guarded
from lookalike.serve.options import ServeOptions

API = "/api/v1"
SECRET = "secret-folder"


@pytest.fixture(scope="module")
def home(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in a folder whose name nobody is to know; one twice, one gone, one a BMP."""
    folder = tmp_path_factory.mktemp("privacy") / SECRET
    shutil.copytree(samples / "birds", folder / "photos")
    shutil.copy(folder / "photos" / "crow.jpg", folder / "photos" / "twin.jpg")
    shutil.copytree(samples / "fish", folder / "other")
    return folder


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TestClient]:
    settings = Settings(requests_per_minute=0)
    with Index.open(home / "photos.db") as index:
        index.add(home / "photos")
        options = ServeOptions(roots=(str(home / "photos"),))
        app = create_app(index, options=options, settings=settings)
        with TestClient(
            guarded(app, app.state.service),
            base_url="http://127.0.0.1:8077",
            raise_server_exceptions=False,
        ) as made:
            yield made
        app.state.service.close()


def ids(client: TestClient) -> dict[str, str]:
    images = client.get(f"{API}/images?limit=100").json()["images"]
    return {image["name"]: image["id"] for image in images}


def search(client: TestClient, **term: object) -> Any:
    return client.post(f"{API}/search", json={"terms": [term]})


def test_no_answer_says_where_the_pictures_lie(client: TestClient, home: Path) -> None:
    known = ids(client)
    assert "crow.jpg" in known
    crow = known["crow.jpg"]
    gone = known["pelican.png"]
    (home / "photos" / "pelican.png").unlink()
    answers = [
        client.get(f"{API}/{path}")
        for path in (
            "info", "images", f"images/{crow}", f"images/{crow}/details", f"images/{crow}/similar",
            f"images/{crow}/thumbnail", f"images/{gone}", f"images/{gone}/thumbnail?size=777",
            f"images/{gone}/details", "duplicates", "jobs", "metrics", "readyz", "openapi.json",
            f"images/{crow}x", f"images?where=path%20like%20%22{SECRET}%25%22",
        )
    ]  # fmt: skip
    answers += [
        search(client, id=crow),
        search(client, id=gone, crop="0,0,10,10"),
        search(client, id="../x"),
        client.post(f"{API}/uploads", files={"picture": b"no picture"}),
        client.post(f"{API}/index", json={"folders": ["photos/nowhere"]}),
    ]
    job = client.post(f"{API}/index", json={})
    assert job.status_code == 202
    answers += [job, client.get(f"{API}/jobs/{job.json()['id']}/events")]
    assert {answer.status_code for answer in answers} >= {200, 202, 404, 422}
    assert 500 not in {answer.status_code for answer in answers}
    for answer in answers:
        said = str(answer.headers) + answer.content.decode("utf-8", "replace")
        assert SECRET not in said, (answer.request.url, said[:500])
        assert str(home.parent) not in said


@pytest.mark.parametrize(
    "where",
    [f'path like "{os.sep}%"', 'path = "x" or width > 1', 'not (path like "%secret%")'],
)
def test_a_filter_cannot_ask_about_paths(client: TestClient, where: str) -> None:
    asked = {"terms": [{"id": ids(client)["crow.jpg"]}], "where": where}
    refused = client.post(f"{API}/search", json=asked)
    assert refused.status_code == 422
    assert refused.json()["error"]["field"] == "where"
    assert client.get(f"{API}/images", params={"where": where}).status_code == 422


def test_a_question_cannot_name_a_file_or_a_private_address(client: TestClient, home: Path) -> None:
    path = str(home / "other" / sorted(os.listdir(home / "other"))[0])  # noqa: PTH208
    for term in (
        {"path": path}, {"id": path}, {"upload": path}, {"url": path}, {"url": f"file://{path}"},
        {"url": "http://127.0.0.1:8077/"}, {"url": "http://169.254.169.254/latest"},
        {"url": "http://[::1]/"}, {"url": "ftp://example.com/a.jpg"}, {"url": "clipboard:"},
    ):  # fmt: skip
        answer = search(client, **term)
        assert answer.status_code in (404, 422), (term, answer.text)
        assert SECRET not in json.dumps(answer.json()).replace(json.dumps(path)[1:-1], "")
    words = search(client, words=path)  # words stay words
    assert words.status_code == 422
    assert path not in words.text


@pytest.mark.parametrize(
    "folder",
    ["other", "..", "photos/..", "photos/../other", "/", "/etc", "photos//", "photos\\..", "", "~"],
)
def test_only_roots_are_indexed(client: TestClient, folder: str) -> None:
    before = client.get(f"{API}/info").json()["pictures"]
    answer = client.post(f"{API}/index", json={"folders": [folder]})
    if folder == "photos//":
        assert answer.status_code in (202, 422)
    else:
        assert answer.status_code in (404, 422), answer.text
    assert client.get(f"{API}/info").json()["pictures"] <= before


def test_a_link_in_a_root_leads_nowhere(client: TestClient, home: Path) -> None:
    (home / "photos" / "link").symlink_to(home / "other")
    answer = client.post(f"{API}/index", json={"folders": ["photos/link"]})
    (home / "photos" / "link").unlink()
    assert answer.status_code == 404


def test_originals_cannot_run_anything_in_the_page(client: TestClient) -> None:
    answer = client.get(f"{API}/images/{ids(client)['crow.jpg']}")
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Disposition"].startswith("inline; ")


def test_files_are_never_touched_unless_allowed(client: TestClient, home: Path) -> None:
    known = ids(client)
    files = sorted((home / "photos").iterdir())
    asked = {"keep": known["crow.jpg"], "discard": [known["twin.jpg"]], "files": True}
    refused = client.post(f"{API}/duplicates/discard", json=asked)
    assert refused.status_code == 403
    assert client.post(f"{API}/undo", json={"undo": "x"}).status_code == 403
    assert client.delete(f"{API}/images/{known['twin.jpg']}").status_code == 204
    assert sorted((home / "photos").iterdir()) == files
