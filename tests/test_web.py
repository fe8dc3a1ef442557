"""Addresses in a question: only public ones are asked, and nothing a server does lasts for ever."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike import Index, InvalidQuestion, PictureDamaged, Query, Settings
from lookalike.errors import PictureUnreadable
from lookalike.sources import web
from lookalike.sources.web import MAX_REDIRECTS, fetch, is_public
from tests.sample_server import Site, serving


def fetched(url: str, *, max_bytes: int = 1000, timeout_s: float = 20.0) -> bytes:
    return fetch(url, max_bytes=max_bytes, timeout_s=timeout_s, allow_private=True)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "224.0.1.1", "239.1.1.1", "240.0.0.1"),
        *("255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1"),
        *("2002:7f00:1::", "2002:c0a8:101::", "2001:0:0:0:0:0:80ff:fffe"),
    ],
)
def test_addresses_that_are_not_of_the_internet_are_told(address: str) -> None:
    assert not is_public(address)


def test_addresses_of_the_internet_are_told() -> None:
    for address in ("1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::101:101"):
        assert is_public(address)
    assert is_public("::ffff:1.1.1.1")


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "LOCALHOST", "2130706433", "0177.0.0.1", "0x7f.1", "127.1"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0"),
    ],
)
def test_this_machine_is_not_asked_under_any_of_its_names(host: str) -> None:
    with serving(Site(b"secret")) as site:
        port = site.url.split(":")[2].split("/")[0]
        for url in (f"http://{host}:{port}/", f"http://{host}/", f"https://{host}:{port}/a.jpg"):
            with pytest.raises(
                InvalidQuestion, match=r"is no public address. LOOKALIKE_ALLOW_PRIVATE_URLS=1"
            ):
                fetch(url, max_bytes=100, timeout_s=5)
        assert site.asked == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://e.org/a.jpg", "begins with ftp:; only http and https"),
        ("file:///etc/passwd", "begins with file:"),
        ("http:///a.jpg", "names no host"),
        ("http://e.org:99999/", "is no address"),
        ("http://e..org/", "is no address"),
        ("http://[::1/", "is no address"),
    ],
)
def test_what_is_no_address_of_the_web_is_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidQuestion, match=message):
        fetched(url)


def test_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(InvalidQuestion, match="has a name or password in it") as caught:
        fetched("http://me:hunter2@e.org/a.jpg?token=hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_redirect_to_an_address_that_is_not_public_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web, "is_public", lambda address: address == "127.0.0.1")
    with serving(Site(b"secret")) as site:
        for location in ("http://127.0.0.2/moved", "//[::1]/moved", "http://0x7f.2/"):
            site.location = location
            with pytest.raises(InvalidQuestion, match="is no public address"):
                fetch(site.url, max_bytes=100, timeout_s=5)
        site.location = "file:///etc/passwd"
        with pytest.raises(InvalidQuestion, match="only http and https"):
            fetch(site.url, max_bytes=100, timeout_s=5)
        assert len(site.asked) == 4
        site.location = "/moved"
        assert fetch(site.url, max_bytes=100, timeout_s=5) == b"secret"


def test_the_address_that_was_looked_at_is_the_one_that_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up = []
    system = socket.getaddrinfo

    def answer_once(host: str, *args: Any, **options: Any) -> Any:
        if host[0].isdigit():
            return system(host, *args, **options)
        looked_up.append(host)
        return system("127.0.0.1" if len(looked_up) == 1 else "127.0.0.9", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer_once)
    monkeypatch.setattr(web, "is_public", lambda address: address == "127.0.0.1")
    with serving(Site(b"content")) as site:
        port = site.url.split(":")[2].split("/")[0]
        url = f"http://pictures.example:{port}/ä b.jpg?q=1#part"
        assert fetch(url, max_bytes=100, timeout_s=5) == b"content"
        (asked,) = site.asked
    assert looked_up == ["pictures.example"]
    assert asked["Host"] == f"pictures.example:{port}"
    assert asked["path"] == "/%C3%A4%20b.jpg?q=1"


def test_a_name_with_one_address_that_is_not_public_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def both(host: str, port: int, **options: Any) -> list[Any]:
        return [(0, 0, 0, "", (ip, port)) for ip in ("1.1.1.1", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(InvalidQuestion, match=r"e.org \(10.0.0.1\) is no public address"):
        fetch("http://e.org/a.jpg", max_bytes=100, timeout_s=5)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Site(b"content")) as site:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert fetched(site.url) == b"content"


def test_a_redirect_to_what_is_no_address_is_refused() -> None:
    with serving(Site(b"")) as site:
        site.location = "http://["
        with pytest.raises(InvalidQuestion, match="is no address"):
            fetched(site.url)


def test_a_loop_of_redirects_ends() -> None:
    with serving(Site(b"")) as site:
        site.location = site.url
        with pytest.raises(PictureUnreadable, match="redirects more than 5 times"):
            fetched(site.url)
        assert len(site.asked) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("states_length", [True, False])
def test_too_much_is_not_taken(states_length: bool) -> None:
    with serving(Site(bytes(5_000_000), states_length=states_length)) as site:
        with pytest.raises(PictureUnreadable, match="more than LOOKALIKE_MAX_BYTES=1000"):
            fetched(site.url)
        assert fetched(site.url, max_bytes=5_000_000) == bytes(5_000_000)


def test_what_broke_off_and_what_is_not_there_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Site(b"content", adds_to_length=5, status=[404])) as site:
        with pytest.raises(PictureUnreadable, match="the server answers 404 Not Found"):
            fetched(site.url)
        with pytest.raises(PictureUnreadable, match="the connection broke off"):
            fetched(site.url)
    with pytest.raises(PictureUnreadable, match=r"cannot be read \(.*refused\)"):
        fetched(site.url)

    def unknown(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(PictureUnreadable, match=r"the host e.org is not known \(.*Name or service"):
        fetched("http://e.org/")


@contextlib.contextmanager
def drip(first: bytes) -> Iterator[str]:
    """The address of a server that sends something, and then a byte now and then, for ever."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection, contextlib.suppress(OSError):
                connection.sendall(first)
                while not done.wait(0.02):
                    connection.sendall(b"a")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"://127.0.0.1:{server.getsockname()[1]}/"
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    ("scheme", "first"),
    [
        ("http", b""),
        ("http", b"HTTP/1.1 200 OK\r\nX: "),
        ("http", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n"),
        ("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n"),
        ("https", b"\x16\x03\x03\x40\x00"),
    ],
    ids=["status", "header", "body", "stated body", "chunk", "handshake"],
)
def test_a_server_that_is_slow_for_ever_is_left(scheme: str, first: bytes) -> None:
    with drip(first) as url:
        started = time.monotonic()
        with pytest.raises(PictureUnreadable, match=r"no whole answer within 0.3 s"):
            fetched(f"{scheme}{url}", max_bytes=10**6, timeout_s=0.3)
        assert time.monotonic() - started < 3


def test_a_server_that_falls_silent_is_left() -> None:
    late = pytest.raises(PictureUnreadable, match=r"no whole answer within 0.3 s")
    with serving(Site(b"content", stalls_at=3)) as site, late:
        fetched(site.url, timeout_s=0.3)


def test_a_certificate_is_checked_and_a_redirect_out_of_https_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (openssl := shutil.which("openssl")):
        pytest.skip("a certificate is made with openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    making = (
        f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {key} "
        f"-out {certificate} -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([openssl, *making.split()], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serving(Site(b"content")) as plain, serving(Site(b"content"), tls=tls) as site:
        url = site.url.replace("127.0.0.1", "localhost")
        with pytest.raises(PictureUnreadable, match="certificate"):
            fetched(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetched(url) == b"content"
        with pytest.raises(PictureUnreadable, match="certificate"):
            fetched(site.url)  # of another name than the certificate's
        site.location = plain.url
        with pytest.raises(InvalidQuestion, match="leads from https to http"):
            fetched(url)
        assert plain.asked == []


def test_a_search_asks_with_what_lies_at_an_address(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crow = samples / "birds" / "crow.jpg"
    allowed = Settings(allow_private_urls=1)
    with (
        serving(Site(crow.read_bytes(), kind="text/html")) as site,
        Index.open(tmp_path / "birds.db", settings=allowed) as index,
    ):
        index.add(samples / "birds")
        assert index.search(site.url) == index.search(crow)
        part = "10%,10%,50%,50%"
        assert index.search(f"{site.url}@{part}") == index.search(crow, crop=part)
        site.body = b"<!doctype html><title>Sorry</title>"
        with pytest.raises(PictureDamaged, match=r"sample.zip: .*"):
            index.search(site.url)
    with Index.open(tmp_path / "birds.db") as index:
        # However it is written: another way to the web would ask any address.
        (tmp_path / "http:" / "127.0.0.1").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        for url in (site.url, f"file:{site.url}", "http://127.0.0.1"):
            with pytest.raises(InvalidQuestion, match="is no public address"):
                index.search(Query([crow, url]))
