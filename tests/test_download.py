"""A download goes on where it broke off, never joins two versions, and stays on the web."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from lookalike import DownloadFailed
from tests.sample_server import Site, fetch, files, serving


@pytest.mark.parametrize("etag", ['"one"', ""])
def test_it_goes_on_as_often_as_it_gets_further(tmp_path: Path, etag: str) -> None:
    body = bytes(range(256)) * 4000
    with serving(Site(body, etag=etag, modified="Mon, 02 Sep 2024 10:00:00 GMT")) as site:
        site.cuts = [100_000, 200_000, 300_000, 400_000, 500_000]
        seen: list[int] = []
        fetch(site, tmp_path / "file", seen=seen)
    assert site.starts == [0, 100_000, 200_000, 300_000, 400_000, 500_000]
    assert site.asked[1]["If-Range"] == etag or site.modified
    assert seen == sorted(seen)
    assert seen[-1] == len(body)
    assert files(tmp_path) == {"file": body}


def test_a_connection_that_never_gets_further_is_given_up(tmp_path: Path) -> None:
    with serving(Site(bytes(3_000_000), cuts=[1_500_000] * 9)) as site:
        with pytest.raises(DownloadFailed) as failed:
            fetch(site, tmp_path / "file")
        assert site.starts == [0, 1_500_000, 1_500_000]
        assert failed.value.path == site.url
        assert failed.value.reason == (
            "the connection broke; 1.5 MB had arrived, run the same command again to go on"
        )


@pytest.mark.parametrize("change", ["no ranges", "no version", "weak version", "other piece"])
def test_where_it_cannot_go_on_it_starts_over(tmp_path: Path, change: str) -> None:
    body = os.urandom(300_000)
    with serving(Site(body, cuts=[200_000])) as site:
        site.ranges = change != "no ranges"
        site.etag = {"no version": "", "weak version": 'W/"one"'}.get(change, site.etag)
        site.shifts_ranges = 10 if change == "other piece" else 0
        fetch(site, tmp_path / "file")
        assert site.starts[-1] == (200_000 if change == "no ranges" else 0)
    assert files(tmp_path) == {"file": body}


def test_a_server_that_always_breaks_and_cannot_go_on_is_given_up(tmp_path: Path) -> None:
    with serving(Site(bytes(300_000), ranges=False, cuts=[200_000] * 99)) as site:
        with pytest.raises(DownloadFailed, match="the connection broke"):
            fetch(site, tmp_path / "file")
        assert len(site.asked) == 3


def test_bytes_of_two_versions_are_never_joined(tmp_path: Path) -> None:
    with serving(Site(b"a" * 300_000, cuts=[200_000] * 3)) as site:
        with pytest.raises(DownloadFailed):
            fetch(site, tmp_path / "file")
        site.body, site.etag = b"b" * 250_000, '"two"'
        fetch(site, tmp_path / "file")
        assert site.asked[-1]["If-Range"] == '"one"'
    assert files(tmp_path) == {"file": b"b" * 250_000}


def test_a_part_that_is_whole_is_not_fetched_again(tmp_path: Path) -> None:
    body = os.urandom(200_000)
    (tmp_path / "file.part").write_bytes(body)
    (tmp_path / "file.version").write_text('"one"')
    with serving(Site(body)) as site:
        fetch(site, tmp_path / "file")
        assert site.starts == [200_000]
        fetch(site, tmp_path / "file")
        assert len(site.asked) == 1
    assert files(tmp_path) == {"file": body}


def test_a_part_longer_than_the_file_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(bytes(300))
    (tmp_path / "file.version").write_text('"one"')
    with serving(Site(b"short")) as site:
        fetch(site, tmp_path / "file")
        assert site.starts == [300, 0]
    assert files(tmp_path) == {"file": b"short"}


def test_a_length_that_is_a_lie_is_a_broken_connection(tmp_path: Path) -> None:
    with serving(Site(bytes(1000), adds_to_length=500, ranges=False)) as site:
        with pytest.raises(DownloadFailed, match="run the same command again"):
            fetch(site, tmp_path / "file")
        assert not (tmp_path / "file").exists()
        site.states_length = False
        fetch(site, tmp_path / "file")
    assert files(tmp_path) == {"file": bytes(1000)}


@pytest.mark.parametrize("states_length", [True, False])
def test_a_file_over_the_limit_is_refused(tmp_path: Path, *, states_length: bool) -> None:
    with serving(Site(bytes(1_000_001), states_length=states_length)) as site:
        with pytest.raises(DownloadFailed, match="it is larger than 1 MB, the limit"):
            fetch(site, tmp_path / "file", max_bytes=1_000_000)
        assert files(tmp_path) == {}
        site.body = bytes(1_000_000)
        fetch(site, tmp_path / "file", max_bytes=1_000_000)
    assert len(files(tmp_path)["file"]) == 1_000_000


def test_a_server_that_is_busy_is_asked_again(tmp_path: Path) -> None:
    with serving(Site(b"content", status=[503, 429])) as site:
        fetch(site, tmp_path / "file")
        assert len(site.asked) == 3
        site.status = [500] * 9
        with pytest.raises(DownloadFailed, match="the server answers 500 Internal Server Error"):
            fetch(site, tmp_path / "other")
    assert files(tmp_path) == {"file": b"content"}


def test_a_silent_server_is_a_broken_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.download.TIMEOUT_S", 0.1)
    with serving(Site(bytes(300_000), stalls_at=0)) as site:
        with pytest.raises(DownloadFailed, match=r"the connection broke \(timed out\)"):
            fetch(site, tmp_path / "file")
        assert len(site.asked) == 3


def test_the_proxy_of_the_environment_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Site(b"content")) as site:
        monkeypatch.setenv("http_proxy", site.url)
        site.url = "http://sample.invalid/sample.zip"
        fetch(site, tmp_path / "file")
        assert site.asked[0]["path"] == site.url
    assert files(tmp_path) == {"file": b"content"}


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "gopher://x/"])
def test_a_redirect_to_another_scheme_is_refused(tmp_path: Path, target: str) -> None:
    with serving(Site(b"content", location=target)) as site:
        with pytest.raises(DownloadFailed) as failed:
            fetch(site, tmp_path / "file")
        assert target in failed.value.reason
        site.location = "/moved"
        fetch(site, tmp_path / "file")
    assert files(tmp_path) == {"file": b"content"}


def test_a_redirect_out_of_https_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (openssl := shutil.which("openssl")):
        pytest.skip("a certificate is made with openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    making = (
        f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {key} "
        f"-out {certificate} -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([openssl, *making.split()], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serving(Site(b"content")) as plain, serving(Site(b"content"), tls=tls) as site:
        with pytest.raises(DownloadFailed, match=r"there is no connection .*certificate"):
            fetch(site, tmp_path / "file")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        site.location = plain.url
        with pytest.raises(DownloadFailed, match=r"leads from https to http:.*is not followed"):
            fetch(site, tmp_path / "file")
        assert plain.asked == []
        site.location = "/moved"
        fetch(site, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"content"
