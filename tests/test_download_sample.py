"""The sample pictures arrive whole, whatever the connection, the server and the zip file do."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lookalike
from lookalike import DownloadFailed
from lookalike.cli.download_sample import WORK, archive_path, download_sample
from tests.conftest import Outcome
from tests.sample_server import Site, fetch, files, serving, zipped
from tests.test_bad_input import line_of
from tests.test_cli import on_terminal

Cli = Callable[..., Outcome]


@pytest.fixture(scope="session")
def pictures(samples: Path) -> dict[str, bytes]:
    """Name in the zip file -> content: three classes, the first picture of each for `test`."""
    found = {}
    for group in ("birds", "deer", "flowers"):
        for number, path in enumerate(sorted((samples / group).glob("*.jpg"))):
            folder = "train" if number else "test"
            found[f"{folder}/{group}/{path.stem}.JPEG"] = path.read_bytes()
    return found


@pytest.fixture
def site(pictures: dict[str, bytes]) -> Iterator[Site]:
    """A server with a zip file like the one of the tutorial."""
    others = {"reverse_image_search.csv": b"id,path,label\n", "__MACOSX/._train": b"\0"}
    with serving(Site(zipped(pictures | others))) as site:
        yield site


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return tmp_path / "the sample"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_pictures_arrive_and_the_commands_printed_work(
    cli: Cli, site: Site, sample: Path, pictures: dict[str, bytes]
) -> None:
    done = cli("download-sample", sample, "--url", site.url)
    assert (done.code, done.err) == (0, "")
    assert files(sample) == pictures
    said, index, search = done.out.splitlines()
    assert said == f"Pictures: 25 in {sample}/train, 3 in {sample}/test. Next:"
    assert index == f"lookalike index '{sample}/train' --model resnet34"
    assert search == f"lookalike search '{sample}/test/birds/blackbird.JPEG'"
    assert cli(*shlex.split(index)[1:3]).out.startswith("25 added")
    assert "/train/birds/" in cli(*shlex.split(search)[1:]).out.splitlines()[0]


def test_once_they_are_there_nothing_is_fetched(cli: Cli, site: Site, sample: Path) -> None:
    first = cli("download-sample", sample, "--url", site.url)
    again = cli("download-sample", sample, "--url", site.url)
    assert (again.code, again.out) == (0, first.out)
    assert again.err == f"{sample} has train and test already; nothing was fetched.\n"
    assert len(site.asked) == 1
    quiet = cli("download-sample", sample, "--url", site.url, "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_the_folder_keeps_what_else_is_in_it(cli: Cli, site: Site, sample: Path) -> None:
    sample.mkdir()
    (sample / "reverse_image_search.csv").write_text("mine")
    (sample / "notes").write_text("mine")
    assert cli("download-sample", sample, "--url", site.url).code == 0
    assert names(sample) == ["notes", "reverse_image_search.csv", "test", "train"]
    assert (sample / "reverse_image_search.csv").read_text() == "mine"


def test_a_folder_train_of_the_users_own_is_not_mixed_with_the_sample(
    cli: Cli, site: Site, sample: Path
) -> None:
    (sample / "train").mkdir(parents=True)
    (sample / "train" / "mine.jpg").write_text("mine")
    line = line_of(cli("download-sample", sample, "--url", site.url))
    assert f"{sample}/train exists already" in line
    assert "name a new folder" in line
    assert files(sample) == {"train/mine.jpg": b"mine"}
    assert site.asked == []


def test_a_broken_connection_is_taken_up_where_it_broke(
    cli: Cli, site: Site, sample: Path, pictures: dict[str, bytes]
) -> None:
    site.cuts = [100_000]
    done = cli("download-sample", sample, "--url", site.url)
    assert (done.code, done.err) == (0, "")
    assert site.starts == [0, 100_000]
    assert site.asked[1]["If-Range"] == '"one"'
    assert files(sample) == pictures


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_after_ctrl_c_or_a_kill_the_next_run_goes_on(
    cli: Cli, site: Site, sample: Path, pictures: dict[str, bytes], number: signal.Signals
) -> None:
    site.stalls_at = 150_000
    command = [sys.executable, "-m", "lookalike", "download-sample", str(sample), "--url", site.url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size for path in sample.rglob("*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    out, said = process.communicate(timeout=10)
    if number is not signal.SIGKILL:
        assert process.returncode == 130
        assert said == (
            "lookalike: Stopped. What has arrived is kept; run the same command again to go on.\n"
        )
    assert out == ""
    assert names(sample) == [WORK]
    site.released.set()
    assert cli("download-sample", sample, "--url", site.url).code == 0
    assert site.starts[1] > 0
    assert files(sample) == pictures


def test_a_run_killed_between_the_two_folders_is_completed(
    cli: Cli, site: Site, sample: Path
) -> None:
    archive = archive_path(sample, site.url)
    (archive.parent / "unpacked-left" / "test").mkdir(parents=True)
    archive.write_bytes(site.body)
    (sample / "train").mkdir()
    (sample / "train" / "whole.JPEG").write_bytes(b"moved into place before")
    assert cli("download-sample", sample, "--url", site.url).code == 0
    assert site.asked == []
    assert names(sample) == ["test", "train"]
    assert list(files(sample / "train")) == ["whole.JPEG"]
    assert len(files(sample / "test")) == 3


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"Not here, sorry.", "this is no zip file (it begins with 'Not here, sorry.')"),
        (b"", "this is no zip file (it begins with '')"),
        (zipped({"other/a.JPEG": b"a"}), "the zip file holds no files in a folder train"),
        (zipped({"train/a.JPEG": b"a", "test/": b""}), "holds no files in a folder test"),
        (zipped({"train/a.JPEG": b"a"})[:-30], "the zip file is damaged"),
    ],
    ids=["text", "empty", "other zip", "empty folder", "cut off"],
)
def test_a_wrong_file_is_named_and_removed_so_that_the_next_run_starts_clean(
    cli: Cli, site: Site, sample: Path, pictures: dict[str, bytes], body: bytes, says: str
) -> None:
    right, site.body = site.body, body
    line = line_of(cli("download-sample", sample, "--url", site.url))
    assert line.startswith(f"lookalike: {site.url}: ")
    assert line.endswith("; it was removed, check the address or try again.\n")
    assert says in line
    assert names(sample) == []
    site.body = right
    assert cli("download-sample", sample, "--url", site.url).code == 0
    assert files(sample) == pictures


def test_a_web_page_costs_nothing_of_what_has_arrived(cli: Cli, site: Site, sample: Path) -> None:
    archive = archive_path(sample, site.url)
    with pytest.raises(DownloadFailed):
        site.cuts = [100_000] * 3
        fetch(site, archive)
    site.kind = "text/html; charset=utf-8"
    line = line_of(cli("download-sample", sample, "--url", site.url))
    assert "a web page came in place of a file; check the address" in line
    site.kind = "application/zip"
    assert cli("download-sample", sample, "--url", site.url).code == 0
    assert site.starts[-1] == 100_000


def test_an_entry_that_would_lie_elsewhere_is_refused(
    cli: Cli, site: Site, sample: Path, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    site.body = zipped(pictures | {"train/../../outside.JPEG": b"evil"})
    line = line_of(cli("download-sample", sample, "--url", site.url))
    assert "the zip file's entry 'train/../../outside.JPEG' would lie elsewhere" in line
    assert names(sample) == []
    assert [path.name for path in tmp_path.iterdir()] == [sample.name]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ftp://127.0.0.1/sample.zip", "it is not an address that begins with http:// or https://"),
        ("file:///etc/passwd", "it is not an address that begins with http:// or https://"),
        ("sample.zip", "it is not an address that begins with http:// or https://"),
        ("http://[1/sample.zip", "it is not an address that begins with http:// or https://"),
        ("http://127.0.0.1:99999/", "it is not an address that begins with http:// or https://"),
        ("http://127.0.0.1/a b", "it is not a usable address (URL can't contain control"),
        ("http://127.0.0.1:9/sample.zip", "there is no connection (Connection refused)"),
    ],
)
@pytest.mark.usefixtures("site")
def test_an_address_that_leads_nowhere_leaves_no_trace(
    cli: Cli, sample: Path, address: str, says: str
) -> None:
    line = line_of(cli("download-sample", sample, "--url", address))
    assert line.startswith(f"lookalike: {address}: {says}")
    assert not sample.exists()


def test_a_file_that_is_not_there_is_not_asked_for_twice(
    cli: Cli, site: Site, sample: Path
) -> None:
    site.status = [404]
    line = line_of(cli("download-sample", sample, "--url", site.url))
    assert "the server answers 404 Not Found; check the address" in line
    assert len(site.asked) == 1
    assert not sample.exists()


def test_a_folder_that_cannot_be_written(cli: Cli, site: Site, sample: Path) -> None:
    sample.mkdir(mode=0o555)
    assert "Permission denied" in line_of(cli("download-sample", sample, "--url", site.url))
    sample.chmod(0o755)
    (sample / "file").touch()
    line = line_of(cli("download-sample", sample / "file", "--url", site.url))
    assert "The system refused" in line


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(site: Site, tmp_path: Path) -> None:
    """In a file system of 100 kB, and then of 300 kB, in a mount namespace of its own."""
    small = tmp_path / "small"
    small.mkdir()
    run = f"{sys.executable} -m lookalike download-sample {small}/sample --url {site.url}; echo $?"
    script = f"mount -t tmpfs -o size=100k none {small} && {run}"
    for size in ("300k", "9m"):
        script += f"; mount -o remount,size={size} {small} && {run}"
    unshare = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*unshare, "mount -t tmpfs none /mnt"], check=False).returncode:
        pytest.skip("this machine does not allow mount namespaces")
    done = subprocess.run(
        [*unshare, script], capture_output=True, text=True, check=False, timeout=60
    )
    first, second = done.stderr.splitlines()
    assert first == second
    assert first.endswith(
        f"the disk that holds {small}/sample is full; free some space and run the same command "
        "again to go on."
    )
    assert done.stdout.startswith("1\n1\nPictures: 25")
    assert len(site.asked) == 2
    assert site.starts[1] > 0


def test_at_a_terminal_there_is_a_progress_bar(site: Site, sample: Path) -> None:
    site.cuts = [100_000]  # so that it is there for a second
    shown = on_terminal("download-sample", sample, "--url", site.url)
    assert re.search(r"Fetching .* [\d.]+/[\d.]+ kB", shown)
    assert "Pictures: 25" in shown


def test_a_log_gets_a_line_now_and_then(
    site: Site, sample: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lookalike.cli.download_sample.SECONDS_BETWEEN_LINES", 0.0)
    download_sample(sample, url=site.url)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"65.5 kB of \d+ kB fetched", lines[1])
    whole, total = lines[-1].removesuffix(" fetched").split(" of ")
    assert whole == total
    sample.rename(sample.with_name("elsewhere"))
    site.states_length = False
    download_sample(sample, url=site.url)
    assert "65.5 kB fetched\n" in capsys.readouterr().err


def test_the_request_says_who_asks_and_nothing_else(cli: Cli, site: Site, sample: Path) -> None:
    cli("download-sample", sample, "--url", site.url)
    (asked,) = site.asked
    assert asked.pop("User-Agent") == f"lookalike/{lookalike.__version__}"
    assert set(asked) == {"Host", "Accept-Encoding", "Connection", "path"}
