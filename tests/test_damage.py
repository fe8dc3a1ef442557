"""One run over thousands of damaged files: it ends, it stays small, and it accounts for each."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lookalike import Index
from lookalike.store.milvus import MilvusStore
from tests.damage import (
    a_good_picture,
    archive_traps,
    damaged,
    traps,
    whole_archives,
    whole_files,
)
from tests.encode import encoded

SEED = 20_260_701
MUTATIONS_PER_KIND = 72
ARCHIVE_MUTATIONS_PER_KIND = 40
BOMB_BYTES = 256 << 20
GOOD_PICTURES = 24
MEMORY_MB = 1500
SECONDS = 300


def peak_memory_mb(process: subprocess.Popen[bytes]) -> float:
    """Linux's mark of the most physical memory so far; 0 where the process has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(found[1]) / 1000 if found else 0.0


def index_within_bounds(
    folder: Path, database: Path, **environment: str
) -> tuple[float, float, dict[str, Any]]:
    """Seconds, peak memory in MB and the report of a run that must end well."""
    command = [sys.executable, "-m", "lookalike", "index", str(folder), "--format", "json"]
    began, peak = time.monotonic(), 0.0
    printed, messages = database.with_suffix(".out"), database.with_suffix(".err")
    with printed.open("wb") as out, messages.open("wb") as err:
        variables = {**os.environ, "LOOKALIKE_DB": str(database), **environment}
        with subprocess.Popen(command, stdout=out, stderr=err, env=variables) as process:
            while process.poll() is None:
                if time.monotonic() - began > SECONDS:
                    process.kill()
                peak = max(peak, peak_memory_mb(process))
                time.sleep(0.05)
    said = messages.read_text(encoding="utf-8", errors="replace")
    assert process.returncode == 0, said[-2000:]
    assert "Traceback" not in said
    assert 0 < peak < MEMORY_MB
    report = json.loads(printed.read_text(encoding="utf-8"))
    return time.monotonic() - began, peak, report


def rows_below(folder: Path, database: Path) -> list[str]:
    store = MilvusStore(str(database), "images", create=None)
    rows = [path for page in store.paths_under(folder.as_posix()) for _, path in page]
    store.close()
    return rows


@pytest.mark.timeout(SECONDS + 120)
def test_a_run_over_thousands_of_damaged_files(tmp_path: Path, say: Callable[[str], None]) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    kinds: dict[str, str] = {}

    def write(kind: str, extension: str, data: bytes) -> Path:
        path = folder / f"{len(kinds):05d}.{extension}"
        path.write_bytes(data)
        kinds[path.as_posix()] = kind
        return path

    for kind, extension, data in [*damaged(whole_files(), SEED, MUTATIONS_PER_KIND), *traps()]:
        write(kind, extension, data)
    mutations = len(kinds)
    assert mutations >= 2000
    whole = [
        write("whole", extension, data).as_posix() for extension, data in whole_files().values()
    ]
    forms = [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("heic", "HEIF")]
    good = [
        write("good", forms[number % 4][0], encoded(a_good_picture(number), forms[number % 4][1]))
        for number in range(GOOD_PICTURES)
    ]

    seconds, peak, report = index_within_bounds(folder, tmp_path / "damaged.db")
    reasons = {entry["path"]: entry["reason"] for entry in report["skipped"]}
    rows = rows_below(folder, tmp_path / "damaged.db")
    assert len(rows) == report["added"] == report["total"]
    assert len(rows) == len(set(rows))
    assert set(rows) | set(reasons) == set(kinds), "a file is not accounted for"
    assert not set(rows) & set(reasons)
    assert all(reason and "\n" not in reason for reason in reasons.values())
    assert not set(whole) & set(reasons), "a whole file was refused"

    with Index.open(tmp_path / "damaged.db") as index:
        for path in good:
            best = index.search(path, limit=1)[0]
            assert (best.path, best.score > 0.999) == (path.as_posix(), True)
    summary = _summary(kinds, reasons)
    say(f"{mutations} damaged files, seed {SEED}: {seconds:.0f} s, {peak:.0f} MB\n{summary}")


@pytest.mark.timeout(SECONDS + 120)
def test_a_run_over_damaged_archives_and_bombs(tmp_path: Path, say: Callable[[str], None]) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    kinds: dict[str, str] = {}
    good = whole_archives()
    spoilt = damaged(good, SEED, ARCHIVE_MUTATIONS_PER_KIND)
    for kind, extension, data in [*spoilt, *archive_traps(BOMB_BYTES)]:
        path = folder / f"{len(kinds):05d}.{extension}"
        path.write_bytes(data)
        kinds[path.as_posix()] = kind
    whole = []
    for extension, data in good.values():
        path = folder / f"whole.{extension}"
        path.write_bytes(data)
        whole += [f"{path.as_posix()}!/{number}.png" for number in range(3)]
    seconds, peak, report = index_within_bounds(
        folder,
        tmp_path / "archives.db",
        LOOKALIKE_MAX_BYTES=str(BOMB_BYTES // 4),
        LOOKALIKE_MAX_ARCHIVE_BYTES=str(BOMB_BYTES // 2),
    )
    reasons = {entry["path"]: entry["reason"] for entry in report["skipped"]}
    rows = rows_below(folder, tmp_path / "archives.db")
    assert set(whole) <= set(rows)
    named = {path.partition("!/")[0] for path in {*reasons, *rows}}
    for archive, kind in kinds.items():
        if kind in {"bomb", "lying bomb", "nested"}:
            assert archive in named, kind
            assert not any(row.startswith(f"{archive}!") for row in rows)
        elif archive not in named:
            assert names_no_picture(Path(archive)), archive
    counts = Counter(kind for path, kind in kinds.items() if path in named)
    say(
        f"{len(kinds)} damaged archives, seed {SEED}: {seconds:.0f} s, {peak:.0f} MB, "
        f"{len(rows)} members indexed, {len(reasons)} reasons; archives named: "
        f"{', '.join(f'{kind} {count}' for kind, count in counts.items())}"
    )


def names_no_picture(archive: Path) -> bool:
    """Whether the standard library finds nothing either that is called a picture."""
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as opened:
                found = opened.namelist()
        else:
            with tarfile.open(archive) as tar:
                found = tar.getnames()
    except (OSError, EOFError, ValueError, tarfile.TarError, zipfile.BadZipFile):
        return False  # which would be worth a reason
    return not any(
        name.endswith(".png") and not name.startswith(".") and "/." not in name for name in found
    )


def _summary(kinds: dict[str, str], reasons: dict[str, str]) -> str:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path, kind in kinds.items():
        group = re.sub(r"^(giant|bomb|endless|bad exif|bad profile) .*", r"\1", kind)
        counts[group]["skipped" if path in reasons else "indexed"] += 1
    lines = (f"  {kind}: {count['indexed']} / {count['skipped']}" for kind, count in counts.items())
    return "indexed / skipped\n" + "\n".join(lines)


NAMES = (
    b"new\nline", b"it's \"quoted\"", b"back\\slash \\n \\\\", b"100% %s _ * [a]? {x} $HOME",
    "🦔 Ünïcode \u2028".encode(), b" ", b"-k", b"~root", b"a" * 251, "ä".encode() * 125,
    b'" or path > "', b"caf\xe9", b"\xff\xfe",
)  # fmt: skip


def test_a_file_of_any_name_is_found_and_removed_or_skipped_with_a_reason(tmp_path: Path) -> None:
    folder = tmp_path / "names"
    folder.mkdir()
    paths = []
    for number, name in enumerate(NAMES):
        path = folder / os.fsdecode(name + b".png")
        try:
            path.write_bytes(encoded(a_good_picture(number), "PNG"))
        except OSError:
            continue  # this file system refuses such names
        paths.append(path)
    unstorable = [path for path in paths if not _is_utf8(path)]
    assert len(paths) - len(unstorable) == 11
    with Index.open(tmp_path / "names.db") as index:
        report = index.add(folder)
        assert report.added == 11
        assert {skip.reason for skip in report.skipped} <= {"its name is not valid UTF-8"}
        assert len(report.skipped) == len(unstorable)
        for path in paths:
            if path not in unstorable:
                assert index.search(path, limit=1)[0].path == path.as_posix()
        left = len(index)
        for path in paths:
            stored = path not in unstorable
            assert index.remove(path) == (1 if stored else 0)
            left -= stored
            assert len(index) == left
        assert index.add(folder).added == 11
        assert index.remove(folder) == 11
    with Image.open(paths[0]) as image:
        assert image.format == "PNG", "files stay"


def _is_utf8(path: Path) -> bool:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return False
    return True
