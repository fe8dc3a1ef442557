"""Machines that share the work by shards do together what one run does, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lookalike import Index, IndexReport, InvalidSetting
from lookalike.cli.app import app
from lookalike.records import ImageRecord, row_id
from lookalike.store.filters import id_range
from lookalike.store.shard import Shard
from tests.conftest import Outcome, Place

SHARDS = 3


def rows(index: Index) -> dict[str, ImageRecord]:
    return {record.path: record for page in index._store.scan() for record in page}


def facts(index: Index) -> dict[str, tuple[str, object]]:
    return {path: (row.content, row.stamp) for path, row in rows(index).items()}


def in_shards(index: Index, folder: Path) -> list[IndexReport]:
    return [index.add(folder, shard=(number + 1, SHARDS)) for number in range(SHARDS)]


def test_all_shards_together_are_one_run(place: Place, photos: Path, tmp_path: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    with (
        Index.open(place.database, token=place.token, collection=place.collection) as index,
        Index.open(tmp_path / "whole.db") as whole,
    ):
        first, *rest = in_shards(index, photos)
        assert 0 < first.added < 30
        assert (first.added + sum(each.added for each in rest), rest[-1].total) == (30, 30)
        assert sum(len(each.skipped) for each in (first, *rest)) == 1
        whole.add(photos)
        assert facts(index) == facts(whole)

        # Each shard removes its own rows, and leaves those of others alone that are gone, too.
        gone = sorted((photos / "birds").iterdir())
        for path in gone:
            path.unlink()
        moved = photos / "trees" / "moved.jpg"
        next(iter(sorted((photos / "flowers").glob("*.jpg")))).rename(moved)
        for number in range(SHARDS):
            report = index.add(photos, shard=(number + 1, SHARDS))
            part = Shard(number + 1, SHARDS)
            left = [path for path in map(Path.as_posix, gone) if path in rows(index)]
            assert not any(part.has(row_id(path)) for path in left)
            later = [Shard(other + 1, SHARDS) for other in range(number + 1, SHARDS)]
            expected = sum(any(s.has(row_id(p)) for s in later) for p in map(Path.as_posix, gone))
            assert len(left) == expected
        whole.add(photos)
        assert facts(index) == facts(whole)
        again = in_shards(index, photos)
        assert sum(each.unchanged for each in again) == report.total
        assert sum(each.added + each.removed for each in again) == 0


def test_a_shard_counts_its_rows_only(place: Place, photos: Path) -> None:
    with Index.open(place.database, token=place.token, collection=place.collection) as index:
        index.add(photos)
        counts = [index._store.count(Shard(number + 1, 4)) for number in range(4)]
        expected = [
            sum(Shard(number + 1, 4).has(row_id(path)) for path in rows(index))
            for number in range(4)
        ]
        assert counts == expected
        assert sum(counts) == 30


def test_what_moves_out_of_a_folder_for_good_leaves_no_row_in_any_shard(
    photos: Path, tmp_path: Path
) -> None:
    old, new = photos / "birds", photos / "new"
    new.mkdir()
    with Index.open(tmp_path / "shards.db") as index:
        for number in range(SHARDS):
            index.add(old, photos / "trees", shard=(number + 1, SHARDS))
        total = len(index)
        for path in sorted(old.iterdir()):
            path.rename(new / path.name)
        moved = sum(
            index.add(old, new, photos / "trees", shard=(number + 1, SHARDS)).moved
            for number in range(SHARDS)
        )
        assert (len(index), moved) == (total, 12)
        assert all(Path(path).exists() for path in rows(index))


@pytest.mark.parametrize("of", [1, 2, 3, 7, 1000])
def test_every_id_is_in_one_shard_and_in_the_range_of_ids_that_the_store_is_asked_for(
    of: int,
) -> None:
    keys = [row_id(f"/{number}.jpg") for number in range(300)] + ["0" * 32, "f" * 32]
    for key in keys:
        holding = [number for number in range(1, of + 1) if Shard(number, of).has(key)]
        assert len(holding) == 1
        low, *high = id_range(holding[0] - 1, of).strip("()").split(" and ")
        assert key >= low.split('"')[1]
        assert all(key < each.split('"')[1] for each in high)


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (1, 0), (-1, -1)])
def test_an_impossible_shard_is_refused(
    photos: Path, tmp_path: Path, shard: tuple[int, int]
) -> None:
    with (
        Index.open(tmp_path / "photos.db") as index,
        pytest.raises(InvalidSetting, match="from 1 to N"),
    ):
        index.add(photos, shard=shard)


def test_the_command_takes_a_shard(cli: Callable[..., Outcome], photos: Path) -> None:
    added = [cli("index", photos, "--shard", f"{n}/2", "--format", "json").json for n in (1, 2)]
    assert sum(each["added"] for each in added) == added[-1]["total"] == 30
    for wrong in ("0/2", "3/2", "2", "1/0", "a/b"):
        outcome = CliRunner().invoke(app, ["index", str(photos), "--shard", wrong])
        assert outcome.exit_code == 2
        assert "with I from 1 to N" in outcome.output
    words = ["index", str(photos), "--shard", "1/2", "--watch"]
    assert CliRunner().invoke(app, words).exit_code == 2


def test_a_ray_cluster_is_not_used_for_a_database_on_this_machine(
    cli: Callable[..., Outcome], photos: Path, tmp_path: Path
) -> None:
    outcome = cli("index", photos, "--ray", "auto")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "the address of a Milvus server" in outcome.err
    assert not (tmp_path / "photos.db").exists()
