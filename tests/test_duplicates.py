"""Pictures that are there more than once are found, and grouped around the one to keep."""

from __future__ import annotations

import itertools
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from lookalike import DuplicateGroup, Index, InvalidQuestion, InvalidSetting, load_embedder
from lookalike.insight import duplicates
from lookalike.insight.duplicates import find_duplicates
from lookalike.insight.links import Looks
from lookalike.insight.nearest import EXACT_PRODUCTS, nearest
from lookalike.perceptual import bits_of, differing_bits, perceptual_hash
from lookalike.records import ImageRecord, Stamp
from lookalike.store.schema import CollectionModel
from tests.conftest import Place

GROUPS = ("birds", "deer", "flowers")


def variants(original: Path, folder: Path) -> None:
    """The original and five edited copies, in a folder of their own."""
    folder.mkdir(parents=True)
    shutil.copyfile(original, folder / f"original{original.suffix}")
    shutil.copyfile(original, folder / f"same{original.suffix}")
    with Image.open(original) as opened:
        image = opened.convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    width, height = image.size
    image.resize((width * 2 // 3, height * 2 // 3)).save(folder / "resized.png")
    image.save(folder / "compressed.jpg", quality=40)
    edges = (width * 0.03, height * 0.01, width * 0.98, height * 0.96)
    image.crop(edges).save(folder / "cropped.webp", quality=90)
    ImageEnhance.Brightness(image).enhance(0.8).save(folder / "darker.jpg", quality=90)


@pytest.fixture(scope="module")
def planted(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index of 36 look-alikes; of every third there are five more copies."""
    folder = tmp_path_factory.mktemp("planted")
    originals = [path for group in GROUPS for path in sorted((samples / group).iterdir())[:8]]
    for number, original in enumerate(originals):
        if number % 3 == 0:
            variants(original, folder / "pictures" / original.stem)
        else:
            (folder / "pictures" / original.stem).mkdir(parents=True)
            shutil.copyfile(original, folder / "pictures" / original.stem / original.name)
    with Index.open(folder / "planted.db") as index:
        index.add(folder / "pictures")
        yield index


def pairs(groups: list[DuplicateGroup]) -> set[tuple[str, str]]:
    together = [[group.keep.path, *(other.path for other in group.others)] for group in groups]
    return {pair for paths in together for pair in itertools.combinations(sorted(paths), 2)}


def is_planted(pair: tuple[str, str]) -> bool:
    return Path(pair[0]).parent == Path(pair[1]).parent


def test_exact_duplicates_are_those_with_the_same_bytes(planted: Index) -> None:
    groups = planted.duplicates(level="exact")
    assert len(groups) == 8
    for group in groups:
        (other,) = group.others
        assert (group.keep.kind, other.kind, other.score) == ("keep", "exact", 1.0)
        assert Path(group.keep.path).read_bytes() == Path(other.path).read_bytes()


def test_edited_copies_are_found_and_look_alikes_are_not(planted: Index) -> None:
    found = pairs(planted.duplicates())
    right = {pair for pair in found if is_planted(pair)}
    assert len(right) >= 0.95 * 8 * 15
    assert len(right) >= 0.98 * len(found)
    assert planted.duplicates() == planted.duplicates()


def test_what_merely_looks_alike_is_found_when_asked_for(planted: Index) -> None:
    near, similar = planted.duplicates(), planted.duplicates(level="similar", min_score=0.6)
    assert pairs(similar) - pairs(near)
    assert {other.kind for group in similar for other in group.others} >= {"near", "similar"}
    by_path = {}
    for group in similar:
        for other in group.others:
            if other.kind == "similar":
                assert other.score >= 0.6
            by_path[other.path] = other
    assert len(by_path) == sum(len(group.others) for group in similar)


def hashes_in(index: Index) -> set[str]:
    return {row.phash for page in index._store.scan() for row in page}


def test_rows_without_a_hash_get_it_from_their_files(tmp_path: Path, samples: Path) -> None:
    variants(samples / "deer" / "chamois.jpg", tmp_path / "pictures")
    with Index.open(tmp_path / "old.db") as index:
        index.add(tmp_path / "pictures")
        expected = index.duplicates()
        rows = [row for page in index._store.scan() for row in page]
        assert all(row.phash for row in rows)
        index._store.upsert([replace(row, phash="") for row in rows])
        without = [replace(each, phash="") for group in expected for each in group.others]
        assert [each for group in index.duplicates() for each in group.others] == without
        # Of two files with the same bytes, one is looked at.
        assert hashes_in(index) - {""} == {row.phash for row in rows}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lookalike.deduplicating.decode", None)
            assert pairs(index.duplicates()) == pairs(expected)
        changed = [replace(row, phash="", content=f"{n:032}") for n, row in enumerate(rows)]
        index._store.upsert(changed)
        assert index.duplicates() != []
        assert hashes_in(index) == {""}, "the files are not those of the rows"
        index._store.upsert([replace(row, phash="") for row in rows])
        for name in ("original.jpg", "same.jpg"):
            (tmp_path / "pictures" / name).unlink()
        left = pairs(index.duplicates())
    # What cannot be looked at has its bytes' hash alone.
    gone = {path for pair in left for path in pair if Path(path).stem in ("original", "same")}
    assert len(left) > 1
    assert [pair for pair in left if gone & set(pair)] == [tuple(sorted(gone))]


# The policies are told from made-up rows, where nothing but the rows decides.


class Rows:
    """A store of made-up rows."""

    def __init__(self, rows: list[ImageRecord]) -> None:
        self._rows = rows

    def scan(self, condition: str = "") -> Iterator[list[ImageRecord]]:
        yield self._rows[:2]
        yield self._rows[2:]


def row(path: str, vector: list[float], **facts: object) -> ImageRecord:
    usual = {
        "content": path,
        "stamp": Stamp(1, 1),
        "width": 10,
        "height": 10,
        "taken_at": 0,
        "format": "jpeg",
        "phash": "0" * 16,
    }
    unit = np.array(vector, np.float32) / np.linalg.norm(vector)
    return ImageRecord(path=path, vector=unit, **{**usual, **facts})  # type: ignore[arg-type]


def found(rows: list[ImageRecord], **options: object) -> list[tuple[str, list[str]]]:
    usual: dict[str, object] = {
        "paths": [],
        "against": [],
        "level": "near",
        "min_score": None,
        "keep": "most-pixels",
        "look": lambda path: None,
    }
    groups = find_duplicates(Rows(rows), **{**usual, **options})  # type: ignore[arg-type]
    return [(group.keep.path, [other.path for other in group.others]) for group in groups]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("most-pixels", "/pixels"),
        ("largest", "/much-larger"),
        ("newest", "/the-newest"),
        ("oldest", "/the-oldest"),
        ("shortest-path", "/s"),
    ],
)
def test_a_policy_says_which_one_is_kept(policy: str, kept: str) -> None:
    rows = [
        row("/the-oldest", [1, 0], stamp=Stamp(5, 100)),
        row("/the-newest", [1, 0], stamp=Stamp(5, 300)),
        row("/much-larger", [1, 0], stamp=Stamp(9, 200)),
        row("/pixels", [1, 0], stamp=Stamp(5, 200), width=11),
        row("/s", [1, 0], stamp=Stamp(5, 200)),
    ]
    for order in (rows, rows[::-1]):
        ((keep, others),) = found(order, keep=policy)
        assert keep == kept
        assert sorted(others) == sorted(each.path for each in rows if each.path != kept)


def test_ties_are_broken_by_the_path_at_last() -> None:
    rows = [row(f"/{name}", [1, 0]) for name in "cab"]
    assert found(rows) == [("/a", ["/b", "/c"])]


def test_near_takes_both_the_vector_and_the_hash() -> None:
    first = row("/1", [1, 0])
    assert found([first, row("/2", [1, 1], phash=f"{2**14 - 1:016x}")]) == [("/1", ["/2"])]
    assert found([first, row("/2", [1, 0], phash=f"{2**15 - 1:016x}")]) == []
    assert found([first, row("/2", [0.59, 0.8074])]) == []
    assert found([first, row("/2", [1, 0], phash="")]) == []
    assert found([first, row("/2", [1, 0], phash="")], look=lambda path: "0" * 16) != []


def test_a_chain_of_copies_is_not_one_group() -> None:
    """Each looks like the next; the first and the last do not look alike."""
    chain = [row(f"/{n}", [np.cos(n * 0.6), np.sin(n * 0.6)], width=99 - n) for n in range(5)]
    assert found(chain) == [("/0", ["/1"]), ("/2", ["/3"])]


def test_a_group_may_be_larger_than_the_lists_of_neighbours() -> None:
    many = [row(f"/{n:02}", [1, n * 1e-4], width=99 - n) for n in range(60)]
    assert found(many) == [("/00", [f"/{n:02}" for n in range(1, 60)])]


def plain_groups(rows: list[ImageRecord], level: str) -> list[tuple[str, list[str]]]:
    """Each row, in the order in which they are kept, takes all later ones that are linked to it."""
    rest = sorted(rows, key=lambda row: (-row.width, row.path))
    groups = []
    while rest:
        keep, *rest = rest
        others = []
        for other in rest:
            score = float(other.vector @ keep.vector)
            bits = (int(keep.phash, 16) ^ int(other.phash, 16)).bit_count()
            if (score >= 0.6 and bits <= 14) or (level == "similar" and score >= 0.9):
                others.append(other)
        taken = {other.path for other in others}
        rest = [row for row in rest if row.path not in taken]
        if others:
            groups.append((keep.path, sorted(taken)))
    return sorted(groups)


@pytest.mark.parametrize("whole", [0, duplicates.WHOLE])
@pytest.mark.parametrize("level", ["near", "similar"])
def test_groups_are_those_of_comparing_all_with_all(
    level: str, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "WHOLE", whole)
    random = np.random.default_rng(1)
    sizes = set()
    for _ in range(150):
        rows = [
            row(
                f"/{number:02}",
                random.normal(size=3).tolist(),
                width=int(random.integers(9)),
                phash=f"{random.integers(2**18):016x}",
            )
            # No more than lists of neighbours are long.
            for number in range(random.integers(2, 17))
        ]
        expected = plain_groups(rows, level)
        groups = [(keep, sorted(others)) for keep, others in found(rows, level=level)]
        assert groups == expected
        sizes |= {len(others) for _, others in expected}
    assert len(sizes) > 3


def test_the_work_for_a_long_chain_grows_with_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is like the 16 before and behind it, of which its list of neighbours has half."""
    compared = []
    compare = Looks.compare

    def counted(looks: Looks, center: int, others: list[int]) -> dict[int, tuple[str, float]]:
        compared.append(len(others))
        return compare(looks, center, others)

    monkeypatch.setattr(Looks, "compare", counted)
    windows = np.array([np.arange(1040) - n for n in range(1000)])
    alike = ((windows >= 0) & (windows < 40)).astype(np.float32)
    chain = [row(f"/{n:03}", each, width=9999 - n) for n, each in enumerate(alike)]
    monkeypatch.setattr(duplicates, "WHOLE", 0)
    groups = found(chain)
    assert sum(compared) < 10 * len(chain)
    monkeypatch.setattr(duplicates, "WHOLE", len(chain))
    assert groups == found(chain)
    assert sum(compared) > 20 * len(chain)
    assert [len(others) for _, others in groups[:-1]] == [16] * (len(groups) - 1)


def test_against_lists_only_what_the_other_folder_has_too() -> None:
    rows = [
        row("/archive/a", [1, 0], width=5),
        row("/archive/b", [1, 0.01], width=5),
        row("/new/a", [1, 0], content="/archive/a"),
        row("/new/near", [1, 0.02]),
        row("/new/own", [0, 1]),
        row("/new/own2", [0, 1]),
        row("/archived/a", [0, -1]),
    ]
    assert found(rows, against=["/archive"]) == [("/archive/a", ["/new/a", "/new/near"])]
    with pytest.raises(InvalidQuestion, match="Nothing in /nowhere is in the index"):
        found(rows, against=["/nowhere"])
    across = found(rows, against=["/archive"], level="exact")
    assert across == [("/archive/a", ["/new/a"])]


def test_impossible_values_are_refused() -> None:
    for options in (
        {"level": "close"},
        {"keep": "best"},
        {"min_score": 0.8},
        {"level": "similar", "min_score": 1.5},
    ):
        with pytest.raises(InvalidSetting):
            found([], **options)
    assert found([]) == []


def test_paths_and_archives_limit_what_takes_part(place: Place, tmp_path: Path) -> None:
    model = CollectionModel(model="test", fingerprint="f", dim=2)
    store = place.open(model)
    names = ["/a/1", "/a/2", "/b/1", "/b.zip!/1", "/b.zip!/2", "/a0/3", '/q"\\/1', '/q"\\/2']
    store.upsert([row(name, [1, 0]) for name in names])
    for paths, kept in (
        (["/a"], [("/a/1", ["/a/2"])]),
        (["/b.zip"], [("/b.zip!/1", ["/b.zip!/2"])]),
        (["/a/1", "/b"], [("/a/1", ["/b/1"])]),
        (['/q"\\'], [('/q"\\/1', ['/q"\\/2'])]),
        (
            ["/b", *(f"/b/{number}" for number in range(1, 2)), *["/a"] * 200],
            [("/a/1", ["/a/2", "/b/1"])],
        ),
    ):
        groups = find_duplicates(
            store,
            paths=paths,
            against=[],
            level="near",
            min_score=None,
            keep="most-pixels",
            look=lambda path: None,
        )
        assert [(g.keep.path, [o.path for o in g.others]) for g in groups] == kept, paths
    store.close()


def test_the_graph_finds_the_neighbours_of_brute_force() -> None:
    random = np.random.default_rng(0)
    centres = random.normal(size=(2000, 32)).astype(np.float32)
    rows = np.repeat(centres, 3, axis=0)
    rows += 0.05 * random.normal(size=rows.shape).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert len(rows) ** 2 > EXACT_PRODUCTS
    found_rows, scores = nearest(rows, rows, count=3)
    right = sum(
        set(near) == {at - at % 3, at - at % 3 + 1, at - at % 3 + 2}
        for at, near in enumerate(found_rows.tolist())
    )
    assert right >= 0.999 * len(rows)
    np.testing.assert_allclose(
        scores, np.take_along_axis(rows @ rows.T, found_rows, axis=1), atol=1e-5
    )
    few, few_scores = nearest(rows[:9], rows[:50], count=99)
    np.testing.assert_array_equal(few, np.argsort(-(rows[:9] @ rows[:50].T), axis=1))
    assert (np.diff(few_scores, axis=1) <= 0).all()


def test_the_hash_is_that_of_the_textbook(samples: Path) -> None:
    """The signs of the cosine transform's lowest frequencies, worked out term by term."""
    with Image.open(samples / "deer" / "chamois.jpg") as image:
        pixels = np.asarray(image.convert("RGB").resize((224, 224)))
    text = perceptual_hash(pixels)
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float64)
    small = grey.reshape(32, 7, 32, 7).mean(axis=(1, 3)).round()
    places = np.arange(32)
    waves = np.array([
        [
            sum(
                small[y] @ np.cos(np.pi * (places + 0.5) * across / 32)
                * np.cos(np.pi * (y + 0.5) * down / 32)
                for y in range(32)
            )
            for across in range(8)
        ]
        for down in range(8)
    ])  # fmt: skip
    expected = waves > np.median(waves)
    bits = np.array([int(bit) for bit in f"{int(text, 16):064b}"], bool).reshape(8, 8)
    assert (bits != expected).sum() <= 2  # a value may be rounded to the other side
    assert differing_bits(bits_of([text, "0" * 16]), bits_of([text] * 2)).tolist() == [
        0,
        int(bits.sum()),
    ]


def test_nearly_empty_pages_have_no_hash_that_could_make_them_copies() -> None:
    page = np.full((224, 224, 3), 250, np.uint8)
    line = page.copy()
    line[20:21, 20:120] = 0
    assert [perceptual_hash(each) for each in (page, line)] == ["", ""]
    line[20:120, 20:120] = 0
    assert perceptual_hash(line) != ""


def test_a_moved_picture_keeps_its_hash(tmp_path: Path, samples: Path) -> None:
    pictures = tmp_path / "pictures"
    shutil.copytree(samples / "deer", pictures / "deer")
    embedder = load_embedder()
    with Index.open(tmp_path / "photos.db", model=embedder) as index:
        index.add(pictures)
        before = {row.content: row.phash for page in index._store.scan() for row in page}
        (pictures / "deer").rename(pictures / "moved")
        assert index.add(pictures).moved == len(before)
        after = {row.content: row.phash for page in index._store.scan() for row in page}
    assert before == after
    assert all(len(text) == 16 for text in before.values())


def test_pictures_in_archives_take_part(tmp_path: Path, samples: Path) -> None:
    picture = samples / "deer" / "chamois.jpg"
    (tmp_path / "pictures").mkdir()
    shutil.copyfile(picture, tmp_path / "pictures" / "a.jpg")
    with zipfile.ZipFile(tmp_path / "pictures" / "b.zip", "w") as archive:
        archive.write(picture, "in/b.jpg")
    with Index.open(tmp_path / "photos.db") as index:
        index.add(tmp_path / "pictures")
        (group,) = index.duplicates(tmp_path / "pictures", keep="shortest-path")
    assert group.keep.path == (tmp_path / "pictures" / "a.jpg").as_posix()
    assert [other.path for other in group.others] == [
        f"{tmp_path.as_posix()}/pictures/b.zip!/in/b.jpg"
    ]
