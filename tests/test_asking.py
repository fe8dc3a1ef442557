"""Questions of several terms, crops, words, rows and bytes, against NumPy, Pillow and the files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from lookalike import (
    Crop,
    Hit,
    Index,
    InvalidQuestion,
    InvalidSetting,
    PictureDamaged,
    PictureError,
    Query,
    Settings,
    Term,
    Words,
    load_embedder,
)
from lookalike.decode import decode
from lookalike.embed.embedder import ModelEmbedder
from lookalike.query.question import Question
from lookalike.records import Pixels, row_id
from lookalike.store.lite import LiteDatabase
from tests.conftest import Outcome
from tests.test_bad_input import line_of

Vectors = npt.NDArray[np.float32]
Cli = Callable[..., Outcome]


class Reading(ModelEmbedder):
    """The packaged model with words of its own making: each text has a random place."""

    def __init__(self) -> None:
        own = load_embedder(settings=Settings(precision="fp32"))
        super().__init__(own.description, own._start_engine)
        self.batches: list[int] = []

    def embed(self, pictures: Pixels) -> Vectors:
        self.batches.append(len(pictures))
        return super().embed(pictures)

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        rows = [np.random.default_rng(list(text.encode())).normal(size=self.dim) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32)


@pytest.fixture(scope="module")
def embedder() -> Reading:
    return Reading()


@pytest.fixture(scope="module")
def index(
    embedder: Reading, samples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Index]:
    """The sample pictures, to be asked only."""
    database = tmp_path_factory.mktemp("asking") / "samples.db"
    with Index.open(database, model=embedder) as opened:
        opened.add(samples)
        yield opened


@pytest.fixture(scope="module")
def rows(embedder: Reading, samples: Path) -> tuple[list[str], Vectors]:
    """The paths and vectors of the sample pictures."""
    paths = sorted(path.as_posix() for path in samples.rglob("*") if path.parent != samples)
    return paths, embedder.embed_files(paths)


def scores(hits: Sequence[Hit]) -> dict[str, float]:
    return {hit.path: hit.score for hit in hits}


def test_the_terms_are_added_by_weight_and_sign(
    index: Index, embedder: Reading, samples: Path, rows: tuple[list[str], Vectors]
) -> None:
    paths, vectors = rows
    known = dict(zip(paths, vectors.astype(np.float64), strict=True))
    crow, duck, palm = (
        (samples / name).as_posix()
        for name in ("birds/crow.jpg", "birds/duck.jpg", "trees/palm.png")
    )
    (blue,) = embedder.embed_text(["blue"])
    for question, total in (
        (Query.parse([crow, duck]), known[crow] + known[duck]),
        (
            Query.parse([crow, "+", f"0.5:{duck}", "-", palm]),
            known[crow] + known[duck] / 2 - known[palm],
        ),
        (Query([crow, Term(Words("blue"), weight=-2)]), known[crow] - 2.0 * blue),
        (Query([f"id:{row_id(crow)}", Path(duck)]), known[crow] + known[duck]),
        (Words("blue"), blue),
        (Term(crow, weight=-3), -known[crow]),
        (f"0.001:{crow}", known[crow]),
    ):
        found = scores(index.search(question, limit=100))
        expected = vectors @ (total / np.linalg.norm(total))
        assert len(found) == len(paths)
        np.testing.assert_allclose([found[path] for path in paths], expected, atol=1e-4)


def test_all_pictures_go_through_the_model_in_one_batch_and_one_call_goes_to_the_database(
    index: Index, embedder: Reading, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted((samples / "birds").iterdir())
    questions: list[Question] = [
        *paths,
        Query([*paths[:3]]),
        f"id:{row_id(paths[0].as_posix())}",
        "blue",
    ]
    expected = [scores(index.search(question, limit=5)) for question in questions]
    embedder.batches.clear()
    calls = 0
    search = LiteDatabase.search

    def counted(
        self: LiteDatabase, collection: str, **options: object
    ) -> list[list[dict[str, object]]]:
        nonlocal calls
        calls += 1
        return search(self, collection, **options)

    monkeypatch.setattr(LiteDatabase, "search", counted)
    found = index.search_many(questions, limit=5)
    assert (embedder.batches, calls) == ([len(paths)], 1)
    for one, other in zip(found, expected, strict=True):
        assert scores(one) == pytest.approx(other, abs=1e-4)
    embedder.batches.clear()
    index.search(Query(paths[:5]))
    index.search(Query([paths[0], paths[0].read_bytes(), paths[1]]))
    assert embedder.batches == [5, 2], "the same picture goes once"
    assert index.search_many([]) == []
    with pytest.raises(InvalidSetting, match="limit is 0"):
        index.search_many(questions, limit=0)


def test_very_many_hits_of_many_questions_are_whole_too(
    index: Index, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = [samples / "birds" / "crow.jpg", samples / "trees" / "palm.png"]
    expected = index.search_many(questions, limit=50)
    monkeypatch.setattr(index._store, "_whole_rows", 10)
    assert index.search_many(questions, limit=50) == expected


def test_terms_that_cancel_out_are_refused_also_under_other_names(
    index: Index, samples: Path, tmp_path: Path
) -> None:
    crow = samples / "birds" / "crow.jpg"
    copy = shutil.copy(crow, tmp_path / "copy.jpg")
    for terms in (
        [Term(crow), Term(crow, weight=-1)],
        [Term(crow, weight=0.5), Term(copy, weight=-0.25), Term(crow.read_bytes(), weight=-0.25)],
        [Term(crow, weight=0)],
        [Term(f"id:{row_id(crow.as_posix())}"), Term(f"id:{row_id(crow.as_posix())}", weight=-1)],
        [Term(Words("blue")), Term(Words("blue"), weight=-1)],
    ):
        with pytest.raises(InvalidQuestion, match=r"cancel out.*Change a weight or a sign"):
            index.search(Query(terms))


def test_a_row_needs_neither_its_file_nor_the_model(photos: Path, tmp_path: Path) -> None:
    path = (photos / "birds" / "crow.jpg").as_posix()
    with Index.open(tmp_path / "photos.db") as index:
        index.add(photos)
        expected = scores(index.search(path))
        shutil.rmtree(photos)
    with Index.open(tmp_path / "photos.db") as index:
        found = index.search(f"id:{row_id(path)}")
        assert index._known_embedder is None
        assert scores(found) == pytest.approx(expected, abs=0.01)
        with pytest.raises(InvalidQuestion, match=f"no picture with the id {'f' * 32}"):
            index.search(f"id:{'f' * 32}")


def test_bytes_an_image_and_a_file_are_the_same_question(index: Index, samples: Path) -> None:
    path = samples / "flowers" / "daffodil.webp"
    expected = index.search(path)
    with Image.open(path) as image:
        image.load()
    for question in (path.read_bytes(), image, str(path), f"file:{path}", Query([path])):
        assert index.search(question) == expected
    with pytest.raises(PictureDamaged, match="the picture in memory: it is not a picture"):
        index.search(b"nothing")
    with pytest.raises(PictureError, match="the file does not exist"):
        index.search("no-such-picture.jpg")


def test_words_are_refused_by_a_model_that_reads_none(photos: Path, tmp_path: Path) -> None:
    with Index.open(tmp_path / "photos.db") as index:
        index.add(photos / "trees")
        with pytest.raises(InvalidQuestion, match=r"no file 'sunset', and as words .* which effi"):
            index.search("sunset")
        with pytest.raises(InvalidQuestion, match="see: lookalike models"):
            index.search(Words("sunset"))


@pytest.fixture(scope="module")
def camera(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JPEG of 6 megapixels on its side, with nine pictures in it."""
    sheet = Image.new("RGB", (3000, 2100), "white")
    for place, path in enumerate(sorted((samples / "birds").iterdir())[:9]):
        with Image.open(path) as image:
            part = image.convert("RGB").resize((1000, 700))
        sheet.paste(part, (place % 3 * 1000, place // 3 * 700))
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path_factory.mktemp("camera") / "sheet.jpg"
    sheet.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=exif)
    return path


@pytest.mark.parametrize(
    ("crop", "box"),
    [
        ("1000,700,1000,700", (1000, 700, 2000, 1400)),
        ("10%,50%,5%,10%", (300, 1050, 450, 1260)),
        (Crop(2990, 0, 10, 2100), (2990, 0, 3000, 2100)),
    ],
)
def test_a_crop_is_what_pillow_cuts_out_of_the_upright_picture_at_full_size(
    index: Index, embedder: Reading, camera: Path, crop: Crop | str, box: tuple[int, int, int, int]
) -> None:
    with Image.open(camera) as image:
        upright = ImageOps.exif_transpose(image)
    assert upright.size == (3000, 2100)
    expected = index.search(upright.crop(box))
    assert index.search(camera, crop=crop) == expected
    assert index.search(Term(camera, crop=crop)) == expected
    assert index.search(f"{camera}@{crop}") == expected
    reduced = decode(camera.read_bytes(), path="", least=embedder.least, max_pixels=10**8).image
    assert reduced.width <= 1500, (
        "without a crop it is decoded smaller, so that this shows something"
    )


def test_a_crop_outside_names_the_size_of_the_upright_picture(index: Index, camera: Path) -> None:
    with pytest.raises(InvalidQuestion, match=r"2900,0,101,10 is not inside .* 3000 × 2100 pixels"):
        index.search(camera, crop="2900,0,101,10")
    with pytest.raises(InvalidQuestion, match="the question has 2"):
        index.search(Query([camera, camera]), crop="0,0,10,10")


def fake_clipboard(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Pillow asks for the clipboard on Linux, and nothing else on the path but sh and cat."""
    program = folder / "wl-paste"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("WAYLAND_DISPLAY", "test")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no program is asked")
def test_the_clipboard_is_a_picture_or_says_why_not(
    index: Index, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = samples / "birds" / "pelican.png"
    fake_clipboard(tmp_path, f"cat '{path}'", monkeypatch)
    assert index.search("clipboard:") == index.search(path)
    for script, message in (
        ("echo 'Nothing is copied' >&2; exit 1", "The clipboard holds no picture; copy one first"),
        ("echo 'no display' >&2; exit 1", r"cannot be read \(wl-paste error: no display\)"),
        ("echo text", "The clipboard cannot be read"),
    ):
        fake_clipboard(tmp_path, script, monkeypatch)
        with pytest.raises(InvalidQuestion, match=message):
            index.search("clipboard:")
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(InvalidQuestion, match="no program that reads it is installed"):
        index.search("clipboard:")


def test_the_example_of_the_help_runs(
    cli: Cli, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("index", samples / "birds")
    monkeypatch.chdir(tmp_path)
    for name in ("beach", "sunset", "crowd"):
        shutil.copy(samples / "birds" / "crow.jpg", f"{name}.jpg")
    shutil.copy(samples / "birds" / "pelican.png", "crowd.jpg")
    shown = cli("search", "--help", COLUMNS="200").out
    (example,) = re.findall(r"Example: lookalike (.*\S)", shown)
    found = cli(*example.split(), "--format", "json", "-k", "1")
    assert found.code == 0, found.err
    query = found.json["query"]
    assert query["limit"] == 1
    assert [(term["value"], term["weight"]) for term in query["terms"]] == [
        ("beach.jpg", 1.0),
        ("sunset.jpg", 0.5),
        ("crowd.jpg", -1.0),
    ]


def test_the_command_line_takes_stdin_and_tells_wrong_questions_in_one_line(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    cli("index", photos)
    crow = photos / "birds" / "crow.jpg"
    command = [
        sys.executable,
        "-m",
        "lookalike",
        "search",
        "-",
        "--db",
        str(tmp_path / "photos.db"),
    ]
    with crow.open("rb") as file:
        piped = subprocess.run(
            [*command, "--format", "paths"], stdin=file, capture_output=True, check=True
        )
    assert piped.stdout.decode().splitlines()[0] == crow.as_posix()
    single = cli("search", crow, "--crop", "0%,0%,100%,100%", "--format", "json").json["query"]
    assert single["path"] == crow.as_posix()
    for words, message in (
        (["-", "+", "-"], "stdin (-) can be only one of the terms"),
        ([crow, "-", crow], "cancel out"),
        (["http://localhost:9/a.jpg"], "is no public address"),
    ):
        assert message in line_of(cli("search", *words), code=2)
    assert "stdin: the file is empty" in line_of(cli("search", "-"))


def test_the_program_of_the_guide_runs(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "asking.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```$", guide, flags=re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    for name in ("beach", "sunset", "crowd"):
        Image.effect_noise((400, 300), len(name) ** 2).save(f"{name}.jpg")
    with Index.open("photos.db") as index:
        index.add(samples / "birds")
    exec(program, {})
