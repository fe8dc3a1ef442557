"""Object storage and web servers: a real S3 API and real web servers, on loopback."""

from __future__ import annotations

import contextlib
import http.server
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from lookalike import Index
from lookalike.errors import PictureUnreadable, SourceNotFound
from lookalike.ingest.scan import Scan, ScanOptions
from lookalike.records import ImageFile, Skipped, Stamp
from lookalike.settings import Settings
from lookalike.sources import reader as reader_room
from lookalike.sources import remote
from lookalike.sources.reader import Reader
from lookalike.sources.remote import Storage, stamp_of
from tests.conftest import Outcome

BUCKET = "pictures"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
STRANGE = "new/100% 'q\" \\ ?x=1#🦔%20.jpg"


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the storage, which has one empty bucket."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_address}.items():
        monkeypatch.setenv(name, value)
    # fsspec keeps what another test may have opened, without these credentials.
    S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for found in page.get("Contents", []):
            client.delete_object(Bucket=BUCKET, Key=found["Key"])
    client.delete_bucket(Bucket=BUCKET)
    client.close()


def put(client: Any, *keys: str, content: bytes = b"x") -> None:
    for key in keys:
        client.put_object(Bucket=BUCKET, Key=key, Body=content)


def split(items: list[ImageFile | Skipped]) -> tuple[list[str], dict[str, str]]:
    found = [item.path for item in items if isinstance(item, ImageFile)]
    return found, {item.path: item.reason for item in items if isinstance(item, Skipped)}


def test_a_bucket_is_walked_like_a_folder(s3: Any) -> None:
    put(s3, "a.jpg", "b/c.PNG", "b/.hidden/d.jpg", "b/e.txt", "b/thumbs/f.jpg", "bb/g.jpg", STRANGE)
    put(s3, "b/", content=b"")
    options = ScanOptions(exclude=("thumbs/",))
    scan = Scan([f"s3://{BUCKET}/"], options=options)
    found, skipped = split(list(scan))
    assert found == [f"s3://{BUCKET}/{key}" for key in ("a.jpg", "b/c.PNG", "bb/g.jpg", STRANGE)]
    assert skipped == {}
    assert scan.leaves_out(f"s3://{BUCKET}/b/thumbs/f.jpg")
    assert scan.walked == [f"s3://{BUCKET}"]
    assert f"s3://{BUCKET}/b" in scan.listed
    for key, is_there in (("a.jpg", True), ("b/e.txt", True), ("c.jpg", False), ("d", False)):
        assert scan.exists(f"s3://{BUCKET}/{key}") is is_there
    assert scan.exists("s3://elsewhere/a.jpg")
    assert split(list(Scan([f"s3://{BUCKET}/b"])))[0] == [
        f"s3://{BUCKET}/b/c.PNG",
        f"s3://{BUCKET}/b/thumbs/f.jpg",
    ]
    both = Scan([f"s3://{BUCKET}", f"s3://{BUCKET}/b", f"s3://{BUCKET}/b/e.txt"])
    assert sorted(split(list(both))[0]) == sorted(
        f"s3://{BUCKET}/{key}"
        for key in ("a.jpg", "b/c.PNG", "b/e.txt", "b/thumbs/f.jpg", "bb/g.jpg", STRANGE)
    )


def test_objects_are_read_with_the_stamp_that_was_listed(s3: Any) -> None:
    put(s3, "a.jpg", STRANGE, content=b"12345")
    before = int(time.time()) - 1
    with Reader(max_bytes=5) as reader:
        for file in Scan([f"s3://{BUCKET}"]):
            assert isinstance(file, ImageFile)
            assert file.stamp.size_bytes == 5
            assert before <= file.stamp.mtime_ns // 1_000_000_000 <= time.time() + 1
            reader.expect(file)
            assert reader.read(file.path) == (b"12345", file.stamp)
            assert reader.read(file.path) == (b"12345", file.stamp)
            assert reader.exists(file.path)
        assert not reader.exists(f"s3://{BUCKET}/none.jpg")
        with pytest.raises(PictureUnreadable, match="there is no such thing"):
            reader.read(f"s3://{BUCKET}/none.jpg")
    with Reader(max_bytes=4) as reader, pytest.raises(PictureUnreadable, match="MAX_BYTES=4"):
        reader.read(f"s3://{BUCKET}/a.jpg")


def test_nothing_is_gone_while_the_bucket_is_not_there_either(s3: Any) -> None:
    put(s3, "a.jpg")
    with Reader(max_bytes=5) as reader:
        assert reader.exists(f"s3://{BUCKET}/a.jpg")
        assert not reader.exists(f"s3://{BUCKET}/b.jpg")
        assert reader.exists("s3://no-such-bucket/a.jpg")
        assert reader.exists("s3://no-such-bucket/b.jpg")


def test_a_storage_that_only_says_not_found_is_asked_once_for_its_bucket(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    there = {"bucket": {"name": "bucket", "size": 0, "type": "directory"}}

    async def _info(path: str) -> dict[str, Any]:
        """As that of gcsfs does."""
        asked.append(path)
        if path not in there:
            raise FileNotFoundError(path)
        return there[path]

    storage = Storage("s3://bucket", reads=2)
    monkeypatch.setattr(storage._fs, "_info", _info)
    for _ in range(2):
        assert not storage.exists("s3://bucket/a.jpg")
        assert storage.exists("s3://none/a.jpg")
    assert sorted(asked) == ["bucket", *["bucket/a.jpg"] * 2, "none", *["none/a.jpg"] * 2]


def test_a_listing_may_take_longer_than_a_request(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put(s3, "a.jpg")
    storage = Storage(f"s3://{BUCKET}", reads=2)
    monkeypatch.setattr(remote, "TIMEOUT_S", 1e-6)
    with pytest.raises(PictureUnreadable, match="no answer"):
        storage.entry(f"s3://{BUCKET}/a.jpg")
    (entries,) = storage.listed([f"s3://{BUCKET}"])
    assert isinstance(entries, list)
    assert [entry.address for entry in entries] == [f"s3://{BUCKET}/a.jpg"]


def test_keys_with_two_slashes_in_a_row_are_skipped_aloud(s3: Any) -> None:
    put(s3, "'.jpg", "a.jpg", "b//c.jpg", "b/d.jpg", "/e.jpg", "f/")
    found, skipped = split(list(Scan([f"s3://{BUCKET}"])))
    assert found == [f"s3://{BUCKET}/{key}" for key in ("'.jpg", "a.jpg", "b/d.jpg")]
    reason = "what has two slashes in a row in its name is left out"
    assert skipped == {f"s3://{BUCKET}//": reason, f"s3://{BUCKET}/b//": reason}


def test_new_changed_and_deleted_objects(s3: Any, photos: Path, tmp_path: Path) -> None:
    birds = {path.name: path.read_bytes() for path in (photos / "birds").iterdir()}
    for name, data in birds.items():
        put(s3, f"birds/{name}", content=data)
    put(s3, "trees/palm.png", content=(photos / "trees/palm.png").read_bytes())
    with Index.open(tmp_path / "photos.db") as index:
        first = index.add(f"s3://{BUCKET}")
        assert (first.added, first.skipped) == (13, ())
        assert index.add(f"s3://{BUCKET}").unchanged == 13
        put(s3, "birds/crow.jpg", content=birds["lark.jpg"])
        put(s3, "birds/new.jpg", content=birds["crow.jpg"])
        put(s3, "birds/bad.jpg", content=b"no picture")
        s3.delete_object(Bucket=BUCKET, Key="birds/duck.jpg")
        s3.delete_object(Bucket=BUCKET, Key="trees/palm.png")
        second = index.add(f"s3://{BUCKET}")
        assert (second.added, second.updated, second.removed) == (1, 1, 2)
        assert [item.path for item in second.skipped] == [f"s3://{BUCKET}/birds/bad.jpg"]
        best = [hit.path for hit in index.search(photos / "birds" / "crow.jpg", limit=1)]
        assert best == [f"s3://{BUCKET}/birds/new.jpg"]
        assert index.search(best[0], limit=1)[0].score > 0.999
        for name in [*birds, "new.jpg", "bad.jpg"]:
            s3.delete_object(Bucket=BUCKET, Key=f"birds/{name}")
        emptied = index.add(f"s3://{BUCKET}")
        assert (emptied.removed, emptied.total) == (0, 12)
        assert "there is no picture in it any more" in emptied.skipped[0].reason
        assert index.remove(f"s3://{BUCKET}") == 12


def test_commands_take_addresses(
    s3: Any, photos: Path, tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    for path in (photos / "birds").iterdir():
        put(s3, f"birds/{path.name}", content=path.read_bytes())
    done = cli("index", f"s3://{BUCKET}/birds", "--format", "json")
    assert done.json["added"] == 12, done
    crow = f"s3://{BUCKET}/birds/crow.jpg"
    hits = cli("search", crow, "--format", "json", "-k", "1").json["hits"]
    assert [hit["path"] for hit in hits] == [crow]
    down = cli("index", f"s3://{BUCKET}/birds", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert (down.code, down.err.count("\n")) == (1, 1)
    assert "cannot be read" in down.err
    with Index.open(tmp_path / "photos.db") as index:
        for missing in (f"s3://{BUCKET}/none", "s3://no-such-bucket"):
            with pytest.raises(SourceNotFound, match=missing):
                index.add(missing)
        assert len(index) == 12


class Site(http.server.ThreadingHTTPServer):
    """A folder on the web; `failing` paths answer 500, and `slow_s` is waited for each picture."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.failing, self.slow_s = folder, {""}, 0.0
        self.requests: list[str] = []
        self.now = self.most_at_once = 0
        super().__init__(("127.0.0.1", 0), _Answers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(http.server.SimpleHTTPRequestHandler):
    server: Site

    def __init__(self, request: Any, client_address: Any, server: Site) -> None:
        super().__init__(request, client_address, server, directory=str(server.folder))

    def send_head(self) -> Any:
        if self.path in self.server.failing:
            self.send_error(500)
            return None
        self.server.requests.append(f"{self.command} {self.path}")
        if self.path == "/endless.jpg":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(bytes(1 << 16))
            return None
        if self.command == "GET" and self.path.endswith(".jpg"):
            self.server.now += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.now)
            time.sleep(self.server.slow_s)
            self.server.now -= 1
        return super().send_head()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def site(photos: Path) -> Iterator[Site]:
    with Site(photos) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_listing_on_the_web_is_walked_and_kept_in_step(
    site: Site, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOKALIKE_ALLOW_PRIVATE_URLS", "1")  # to ask with one of them
    (photos / "birds" / "100% ü & 'q'.jpg").write_bytes((photos / "birds/crow.jpg").read_bytes())
    (photos / "birds" / ".hidden.jpg").touch()
    with Index.open(tmp_path / "photos.db") as index:
        first = index.add(f"{site.url}/")
        assert (first.added, first.skipped) == (31, ())
        assert index.add(site.url).unchanged == 31
        (photos / "birds" / "crow.jpg").unlink()
        (photos / "trees" / "palm.png").unlink()
        site.failing.add("/trees/")
        second = index.add(site.url)
        assert (second.removed, second.total) == (1, 30)
        assert [item.path for item in second.skipped] == [f"{site.url}/trees"]
        assert "it cannot be listed: it cannot be read (500" in second.skipped[0].reason
        hit = index.search(photos / "birds" / "duck.jpg", limit=1)[0]
        assert hit.path == f"{site.url}/birds/duck.jpg"
        assert index.search(hit.path, limit=1)[0].path == hit.path


def test_one_picture_on_the_web(site: Site) -> None:
    address = f"{site.url}/birds/crow.jpg"
    (file,) = Scan([address])
    assert isinstance(file, ImageFile)
    status = (site.folder / "birds" / "crow.jpg").stat()
    assert file.stamp == Stamp(status.st_size, int(status.st_mtime) * 1_000_000_000)
    with Reader(max_bytes=1_000_000) as reader:
        whole = (site.folder / "birds" / "crow.jpg").read_bytes()
        assert reader.read(address) == (whole, file.stamp)
        assert not reader.exists(f"{site.url}/birds/none.jpg")
        site.failing.add("/birds/crow.jpg")
        assert reader.exists(address)
        with pytest.raises(PictureUnreadable, match="500"):
            reader.read(address)
    with pytest.raises(SourceNotFound, match="does not exist"):
        Scan([f"{site.url}/none"])
    with pytest.raises(SourceNotFound, match=r"cannot be read .*500"):
        Scan([address])


def test_a_server_that_sends_for_ever_is_stopped(site: Site) -> None:
    limit = "more than LOOKALIKE_MAX_BYTES=1000000"
    with Reader(max_bytes=1_000_000) as reader, pytest.raises(PictureUnreadable, match=limit):
        reader.read(f"{site.url}/endless.jpg")


def test_pictures_are_fetched_several_at_a_time_and_no_more_than_the_setting_says(
    site: Site, tmp_path: Path
) -> None:
    site.slow_s = 0.1
    settings = Settings(network_reads=6, threads=1)
    with Index.open(tmp_path / "photos.db", settings=settings) as index:
        assert index.add(f"{site.url}/birds").added == 12
    assert 3 <= site.most_at_once <= 6


def test_what_was_expected_and_never_read_is_dropped(site: Site) -> None:
    files = list(Scan([f"{site.url}/birds"]))
    site.slow_s = 1.0
    reader = Reader.of(Settings(network_reads=2))
    for file in files:
        assert isinstance(file, ImageFile)
        reader.expect(file)
    time.sleep(0.1)
    reader.close()
    time.sleep(1.5)
    begun = [line for line in site.requests if line.startswith("GET") and line.endswith(".jpg")]
    assert len(begun) <= 2 < len(files)


def test_each_address_of_a_list_is_asked_for_once(site: Site) -> None:
    birds = [f"{site.url}/birds/{path.name}" for path in (site.folder / "birds").iterdir()]
    for sources, more in ((birds, []), ([], birds)):
        site.requests.clear()
        assert sorted(split(list(Scan(sources, more=more)))[0]) == sorted(birds)
        assert len(site.requests) == len(birds)


def test_a_web_page_that_is_not_the_listing_removes_no_row(
    site: Site, photos: Path, tmp_path: Path
) -> None:
    inner = photos / "birds" / "more"
    inner.mkdir()
    (photos / "trees" / "palm.png").rename(inner / "palm.png")
    with Index.open(tmp_path / "photos.db") as index:
        assert index.add(site.url).added == 30
        for page in (inner / "index.html", photos / "birds" / "index.html"):
            page.write_text(
                '<form><a href="password.html">Forgotten?</a> <a href="x/">x</a></form>'
            )
            assert index.add(site.url).removed == 0
            page.unlink()
        (inner / "palm.png").unlink()
        (inner / "x.txt").touch()
        assert index.add(site.url).removed == 0
        (inner / "x.txt").unlink()
        inner.rmdir()
        assert index.add(site.url).removed == 1


def test_a_slow_line_costs_no_picture(site: Site, tmp_path: Path) -> None:
    site.slow_s = 1.5
    settings = Settings(network_reads=16, threads=2, max_seconds=1)
    with Index.open(tmp_path / "photos.db", settings=settings) as index:
        report = index.add(f"{site.url}/birds")
    assert (report.added, report.skipped) == (12, ())


def test_no_more_bytes_are_fetched_ahead_than_there_is_room_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [file for file in Scan([f"{site.url}/birds"]) if isinstance(file, ImageFile)]
    room = sum(file.stamp.size_bytes for file in files[:3])
    monkeypatch.setattr(reader_room, "AHEAD_BYTES", room)

    def fetched() -> set[str]:
        time.sleep(0.5)
        urls = [f"{site.url}{line[4:]}" for line in site.requests if line.startswith("GET")]
        return {url for url in urls if url.endswith(".jpg")}

    with Reader(max_bytes=1_000_000) as reader:
        for file in files:
            reader.expect(file)
        assert fetched() == {file.path for file in files[:3]}
        for file in (files[-1], *files[:-1]):
            reader.wait_for(file.path)
            name = file.path.rsplit("/", 1)[1]
            assert reader.read(file.path)[0] == (site.folder / "birds" / name).read_bytes()
    monkeypatch.setattr(reader_room, "AHEAD_BYTES", 0)
    with Reader(max_bytes=1_000_000) as reader:
        for file in files:
            reader.expect(file)
        site.requests.clear()
        for place, file in enumerate(files[:4]):
            assert len(fetched()) <= place + 1
            reader.read(file.path)


@pytest.mark.parametrize(
    ("info", "stamp"),
    [
        ({"size": 3, "Last-Modified": "Thu, 01 Jan 1970 00:00:05 GMT"}, Stamp(3, 5_000_000_000)),
        ({"size": 3, "updated": "1970-01-01T00:00:05.987Z"}, Stamp(3, 5_000_000_000)),
        ({"size": 3, "mtime": "no time"}, Stamp(3, 0)),
        ({"size": None}, Stamp(0, 0)),
    ],
)
def test_a_stamp_is_made_of_what_the_storage_tells(info: dict[str, Any], stamp: Stamp) -> None:
    assert stamp_of(info) == stamp


def test_without_a_time_the_entity_tag_tells_of_a_change() -> None:
    one, two = stamp_of({"size": 3, "ETag": '"a"'}), stamp_of({"size": 3, "ETag": '"b"'})
    assert one == stamp_of({"size": 3, "ETag": '"a"'}) != two
    assert 0 < one.mtime_ns < 1 << 63


def test_a_missing_library_is_named_with_its_extra() -> None:
    script = """
import sys
for name in ("s3fs", "gcsfs", "adlfs", "aiohttp"):
    sys.modules[name] = None
from lookalike.errors import ExtraMissing
from lookalike.ingest.scan import Scan
for address in ("s3://b/x", "gs://b/x", "az://b/x", "https://h/x"):
    try:
        Scan([address])
    except ExtraMissing as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "Reading s3:// addresses needs s3; install it with: pip install 'lookalike[s3]'"
    )
    assert [line.split("lookalike")[1] for line in lines] == [
        "[s3]'",
        "[gcs]'",
        "[azure]'",
        "[http]'",
    ]
