"""Groups of pictures, similar ones and vectors: what an index tells about its own rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lookalike import Clustering, Index, InvalidQuestion, InvalidSetting, load_embedder
from lookalike.insight import groups
from lookalike.records import row_id


class Rows:
    """A store of vectors around the given number of centres, and of some far from all."""

    def __init__(self, sizes: list[int], *, alone: int = 0, reverse: bool = False) -> None:
        rng = np.random.default_rng(7)
        parts = [rng.standard_normal(32) + 0.1 * rng.standard_normal((size, 32)) for size in sizes]
        vectors = np.concatenate([*parts, rng.standard_normal((alone, 32))]).astype(np.float32)
        self.all = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        labels = [*np.repeat(np.arange(len(sizes)), sizes), *["alone"] * alone]
        self.paths = [f"/{label}/{row}" for row, label in enumerate(labels)]
        self._order = range(len(labels))[:: -1 if reverse else 1]

    def vectors(self) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
        for start in range(0, len(self.paths), 50):
            rows = list(self._order[start : start + 50])
            yield [self.paths[row] for row in rows], self.all[rows]


def found(clustering: Clustering) -> list[tuple[str, int]]:
    """For each group the label that all of its pictures have, and how many."""
    result = []
    for cluster in clustering.clusters:
        (label,) = {path.split("/")[1] for path in cluster.paths}
        result.append((label, len(cluster.paths)))
    return result


@pytest.mark.parametrize("sample", [10_000, 150])
def test_dense_groups_are_found_and_what_lies_apart_is_in_none(
    sample: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "SAMPLE", sample)
    rows = Rows([120, 80, 60], alone=20)
    clustering = groups.clusters(rows, k=None, least=5, seed=0)
    assert len(clustering.clusters) == 3
    for label, cluster in enumerate(clustering.clusters):
        own = [path for path in cluster.paths if path.startswith(f"/{label}/")]
        assert len(own) >= 0.95 * max(len(cluster.paths), [120, 80, 60][label])
    assert sum(path.startswith("/alone") for path in clustering.alone) >= 17
    assert clustering.sampled == min(sample, 280)
    members = [path for cluster in clustering.clusters for path in cluster.paths]
    assert sorted([*members, *clustering.alone]) == sorted(rows.paths)


@pytest.mark.parametrize("sample", [10_000, 100])
def test_so_many_groups_are_made_as_are_asked_for(
    sample: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "SAMPLE", sample)
    clustering = groups.clusters(Rows([120, 80, 60]), k=3, least=5, seed=0)
    assert found(clustering) == [("0", 120), ("1", 80), ("2", 60)]
    assert clustering.alone == ()


def test_the_first_pictures_of_a_group_are_those_nearest_to_its_mean() -> None:
    rows = Rows([40, 30])
    vector_of = dict(zip(rows.paths, rows.all, strict=True))
    for cluster in groups.clusters(rows, k=2, least=5, seed=0).clusters:
        own = np.array([vector_of[path] for path in cluster.paths])
        centre = own.mean(axis=0) / np.linalg.norm(own.mean(axis=0))
        scores = own @ centre
        assert (np.diff(scores) <= 1e-6).all()
        assert cluster.cohesion == pytest.approx(scores.mean(), abs=1e-6)


@pytest.mark.parametrize("k", [None, 4])
def test_the_order_of_the_rows_does_not_matter(
    k: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "SAMPLE", 100)
    one, other = (
        groups.clusters(Rows([90, 70], alone=9, reverse=reverse), k=k, least=5, seed=3)
        for reverse in (False, True)
    )
    assert [c.paths for c in one.clusters] == [c.paths for c in other.clusters]
    assert one.alone == other.alone


def test_few_pictures_and_copies_are_no_trouble() -> None:
    for size in (0, 1, 2, 4):
        rows = Rows([size])
        dense = groups.clusters(rows, k=None, least=5, seed=0)
        assert (dense.clusters, dense.alone) == ((), tuple(sorted(rows.paths)))
        if size:
            (group,) = groups.clusters(rows, k=1, least=5, seed=0).clusters
            assert (len(group.paths), group.position) == (size, (0.5, 0.5))
    copies = Rows([10])
    copies.all[:] = copies.all[0]
    (group,) = groups.clusters(copies, k=3, least=5, seed=0).clusters
    assert group.cohesion == pytest.approx(1, abs=1e-6)


def test_impossible_groups_are_refused() -> None:
    for k, least, message in (
        (0, 5, "k is 0"),
        (4, 5, "at most the number of pictures, 3"),
        (1001, 5, "from 1 to 1000"),
        (None, 1, "least is 1"),
    ):
        with pytest.raises(InvalidSetting, match=message):
            groups.clusters(Rows([3]), k=k, least=least, seed=0)


def test_without_scikit_learn_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from lookalike import ExtraMissing\n"
        "from lookalike.insight import groups\n"
        "from tests.test_groups import Rows\n"
        "try: groups.clusters(Rows([9]), k=2, least=2, seed=0)\n"
        "except ExtraMissing as error: print(error)"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=root
    )
    assert done.stdout == (
        "Finding groups needs groups; install it with: pip install 'lookalike[groups]'\n"
    )


@pytest.fixture(scope="module")
def index(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index.open(tmp_path_factory.mktemp("index") / "samples.db") as index:
        index.add(samples)
        yield index


def test_an_indexs_groups_are_those_of_its_pictures(index: Index) -> None:
    clustering = index.clusters(least=3)
    pure = [
        sum(path.split("/")[-2] == cluster.paths[0].split("/")[-2] for path in cluster.paths)
        for cluster in clustering.clusters
    ]
    assert len(clustering.clusters) >= 6
    assert sum(pure) >= 0.7 * 86
    by_k = index.clusters(10, seed=1)
    assert len(by_k.clusters) == 10
    assert sum(len(cluster.paths) for cluster in by_k.clusters) == len(index)


def test_similar_pictures_are_the_nearest_others_by_brute_force(
    index: Index, samples: Path
) -> None:
    paths = sorted(path.as_posix() for path in samples.glob("*/*") if path.suffix != ".txt")
    ids = [row_id(path) for path in paths]
    vectors = index.vectors(ids)
    assert vectors.shape == (86, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, load_embedder().embed_files(paths), atol=2e-2)
    for row in (0, 17, 85):
        scores = vectors @ vectors[row]
        order = [n for n in np.argsort(-scores, kind="stable") if n != row][:6]
        hits = index.similar(ids[row], limit=6)
        assert [hit.id for hit in hits] == [ids[n] for n in order]
        np.testing.assert_allclose([hit.score for hit in hits], scores[order], atol=1e-5)
    assert len(index.similar(ids[0], limit=1000)) == 85


def test_vectors_keep_the_order_of_the_ids_and_may_repeat(index: Index, samples: Path) -> None:
    ids = [row_id((samples / "birds" / name).as_posix()) for name in ("crow.jpg", "duck.jpg")]
    one, other = index.vectors(ids)
    np.testing.assert_array_equal(index.vectors([ids[1], ids[0], ids[1]]), [other, one, other])
    assert index.vectors([]).shape == (0, 384)


@pytest.mark.parametrize("wrong", ["0" * 32, "", '" or id > "', "crow.jpg", "0" * 31 + "\n"])
def test_an_id_without_a_row_is_named(index: Index, samples: Path, wrong: str) -> None:
    known = row_id((samples / "birds" / "crow.jpg").as_posix())
    with pytest.raises(InvalidQuestion) as caught:
        index.vectors([known, wrong])
    assert repr(wrong) in str(caught.value)
    with pytest.raises(InvalidQuestion):
        index.similar(wrong)
    for limit in (0, 16_384):
        with pytest.raises(InvalidSetting):
            index.similar(known, limit=limit)
