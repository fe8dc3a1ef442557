"""Pictures at a terminal: what the commands say is read back as pixels by decoders of the test."""

from __future__ import annotations

import base64
import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lookalike import Index
from lookalike.cli import terminal_pictures
from lookalike.cli.terminal_pictures import COLUMNS, ROWS, Protocol, placed, protocol_of, strips
from lookalike.records import Hit
from tests.conftest import Outcome

Pixels = npt.NDArray[np.int64]


@pytest.fixture
def picture(samples: Path) -> Image.Image:
    """A wide one, with many colours."""
    with Image.open(samples / "birds" / "lorikeet.jpg") as opened:
        return opened.convert("RGB").resize((160, 100))


def hit(path: Path, score: float = 0.5) -> Hit:
    return Hit(path.as_posix(), score, "0" * 32, 1, 1, 1, None, "jpeg")


def from_kitty(commands: str) -> list[tuple[dict[str, str], Image.Image]]:
    """The pictures, each with the keys of its first command."""
    found: list[tuple[dict[str, str], str]] = []
    for head, data in re.findall(r"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\", commands):
        assert len(data) <= 4096
        keys = dict(pair.split("=") for pair in head.split(","))
        if "a" in keys:
            found.append((keys, data))
        else:
            found[-1] = (found[-1][0], found[-1][1] + data)
        assert keys["m"] in {"0", "1"}
    return [(keys, Image.open(io.BytesIO(base64.b64decode(data)))) for keys, data in found]


def from_iterm(commands: str) -> list[tuple[dict[str, str], Image.Image]]:
    found: list[tuple[dict[str, str], Image.Image]] = []
    for head, data in re.findall(r"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\a", commands):
        keys = dict(pair.split("=") for pair in head.split(";"))
        png = base64.b64decode(data)
        assert int(keys["size"]) == len(png)
        found.append((keys, Image.open(io.BytesIO(png))))
    return found


def from_sixel(commands: str) -> list[Pixels]:
    """(h, w, 4) RGBA of each picture, drawn as the VT340's manual says."""
    found = []
    for body in re.findall(r"\x1bP0;1q(.*?)\x1b\\", commands, re.DOTALL):
        raster = re.match(r'"1;1;(\d+);(\d+)', body)
        assert raster
        width, height = int(raster[1]), int(raster[2])
        pixels = np.zeros((height + 6, width, 4), np.int64)
        colours: dict[int, Pixels] = {}
        colour, x, y = 0, 0, 0
        tokens = r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|([$-])"
        at = raster.end()
        while at < len(body):
            token = re.compile(tokens).match(body, at)
            assert token, body[at : at + 20]
            at = token.end()
            number, red, green, blue, times, repeated, single, move = token.groups()
            if red is not None:
                colours[int(number)] = np.array([int(red), int(green), int(blue)]) * 255 // 100
            elif number is not None:
                colour = int(number)
            elif move is not None:
                x, y = 0, y + 6 * (move == "-")
            else:
                bits = ord(repeated or single) - 63
                end = x + int(times or 1)
                for bit in range(6):
                    if bits >> bit & 1:
                        pixels[y + bit, x:end] = [*colours[colour], 255]
                x = end
        assert not pixels[height:].any()
        found.append(pixels[:height])
    return found


def middle_of(shown: Pixels, picture: Image.Image) -> Pixels:
    """Of a square picture the part that is covered by the one in it."""
    covered = np.argwhere(shown[:, :, 3] > 0)
    (top, left), (bottom, right) = covered.min(axis=0), covered.max(axis=0) + 1
    side = len(shown)
    assert ((right - left) / (bottom - top)) == pytest.approx(
        picture.width / picture.height, rel=0.03
    )
    assert abs(top - (side - bottom)) <= 1
    return shown[top:bottom, left:right, :3]


@pytest.mark.parametrize(("protocol", "decoded"), [("kitty", from_kitty), ("iterm", from_iterm)])
def test_kitty_and_iterm_get_each_pixel(
    protocol: str,
    decoded: Callable[[str], list[tuple[dict[str, str], Image.Image]]],
    picture: Image.Image,
) -> None:
    ((keys, shown),) = decoded(placed(picture, Protocol(protocol)))
    assert shown.size == (160, 160)
    inside = middle_of(np.asarray(shown.convert("RGBA"), np.int64), picture)
    np.testing.assert_array_equal(inside, np.asarray(picture))
    if protocol == "kitty":
        assert keys.items() >= {("a", "T"), ("f", "100"), ("q", "2"), ("C", "1")}
        assert (keys["c"], keys["r"]) == (str(COLUMNS), str(ROWS))
    else:
        assert keys.items() >= {("inline", "1"), ("width", "14"), ("height", "7")}


def test_sixels_are_the_picture_in_fewer_colours(
    picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal_pictures, "_cell", lambda: (10, 20))
    (shown,) = from_sixel(placed(picture, Protocol.sixel))
    assert shown.shape == (140, 140, 4)
    inside = middle_of(shown, picture)
    expected = np.asarray(picture.resize(inside.shape[1::-1], Image.Resampling.BICUBIC), np.int64)
    assert np.abs(inside - expected).mean() < 6
    # As a control: these colours are not what another picture has.
    assert np.abs(inside[::-1] - expected).mean() > 20


def test_a_row_of_pictures_ends_where_it_should(samples: Path) -> None:
    hits = [hit(path) for path in sorted((samples / "birds").iterdir())[:7]]
    hits.insert(2, hit(samples / "missing.jpg", 0.25))
    shown = strips(hits, Protocol.kitty)  # 80 columns: 5 beside each other
    assert len(from_kitty(shown)) == 7
    text = re.sub(r"\x1b_G.*?\x1b\\", "", shown)
    text = re.sub(r"\x1b\[[\d;]*[A-Z]|\x1b[78]", "", text)
    labels = [line.split() for line in text.splitlines() if line]
    assert labels == [
        ["1", "0.500", "2", "0.500", "3", "0.250", "4", "0.500", "5", "0.500"],
        ["6", "0.500", "7", "0.500", "8", "0.500"],
    ]
    assert text.count("\n") == 2 * (ROWS + 1)
    rows, columns = re.findall(r"\x1b\[(\d+)[AB]", shown), re.findall(r"\x1b\[(\d+)C", shown)
    assert rows == ["7"] * 4
    assert columns == ["15", "45", "60", "15", "30"]


def test_no_more_than_some_pictures_and_bytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    noisy = hit(tmp_path / "noise.png")
    assert all(len(strips([noisy], protocol)) < 140_000 for protocol in Protocol)
    assert len(from_kitty(strips([noisy] * 30, Protocol.kitty))) == 20


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "230805"}, "kitty"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "210400"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-sixel"}, "sixel"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, None),
        ({"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1", "TMUX": "/tmp/1"}, None),
        ({"TERM": "screen-256color", "TERM_PROGRAM": "WezTerm"}, None),
        ({"TERM": "dumb"}, None),
        ({}, None),
    ],
)
def test_terminals_are_known_by_their_environment(
    environ: dict[str, str], expected: str | None
) -> None:
    assert protocol_of(environ) == (expected and Protocol(expected))


def on_terminal(*args: str | Path, **environ: str) -> bytes:
    """What a command sends to a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lookalike", *map(str, args)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environ},
    )
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 65536):
            shown += part
    except OSError:  # the end of a terminal
        pass
    os.close(leader)
    assert process.wait(timeout=60) == 0, shown
    return shown


def test_a_search_shows_pictures_only_where_they_can_be_seen(
    cli: Callable[..., Outcome], photos: Path, tmp_path: Path
) -> None:
    database = ("--db", tmp_path / "photos.db")
    with Index.open(tmp_path / "photos.db") as index:
        index.add(photos / "birds")
    search = ("search", photos / "birds/crow.jpg", "-k", "3", *database)
    kitty = {"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}
    assert len(from_kitty(on_terminal(*search, **kitty).decode())) == 3
    assert b"\x1b_G" not in on_terminal(*search, "--pictures", "never", **kitty)
    piped = cli(*search, **kitty)
    assert "\x1b" not in piped.out
    assert len(from_sixel(cli(*search, "--pictures", "sixel").out)) == 3
