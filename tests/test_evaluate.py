"""`lookalike evaluate`: figures for labelled pictures, and what is said when they cannot be had."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from lookalike import Evaluation, Hit, Index, LabelsUnusable, load_embedder
from lookalike.cli import figures, labels
from lookalike.cli.evaluation_report import evaluation_report
from lookalike.cli.figures import Measured
from lookalike.embed.presets import DEFAULT_MODEL
from lookalike.insight.evaluation import recall
from lookalike.records import ImageRecord, Stamp, Vector
from lookalike.store.milvus import MilvusStore
from lookalike.store.schema import CollectionModel
from tests.conftest import Outcome
from tests.test_bad_input import line_of
from tests.test_cli import on_terminal

Cli = Callable[..., Outcome]
HEADER = ["model", "dim", "pictures", "images/s", "R@1", "P@10", "mAP", "nDCG@10", "recall@10"]


def pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png", ".webp"))


def by_hand(folder: Path) -> tuple[float, float]:
    """R@1 and P@10, from vectors of the pictures and a sort of each row."""
    paths = pictures(folder)
    vectors = load_embedder().embed_files(paths)
    right = []
    for row, path in enumerate(paths):
        order = np.argsort(-(vectors @ vectors[row]))
        nearest = [paths[other] for other in order if other != row][:10]
        right.append([other.parent == path.parent for other in nearest])
    return float(np.mean([r[0] for r in right])), float(np.mean(right))


def test_the_figures_as_json(cli: Cli, photos: Path, tmp_path: Path) -> None:
    outcome = cli("evaluate", photos, "--format", "json")
    assert (outcome.code, outcome.err) == (0, "")
    answer = outcome.json
    assert answer["folder"] == photos.as_posix()
    assert (answer["pictures"], answer["classes"], answer["left_out"]) == (30, 3, 0)
    (model,) = answer["models"]
    assert (model["model"], model["dim"], model["recall_at_10"]) == (DEFAULT_MODEL, 384, 1.0)
    assert model["images_per_second"] > 0
    r_at_1, p_at_10 = by_hand(photos)
    # One picture of 30, and one hit of 300: batches of another size round otherwise.
    assert model["r_at_1"]["value"] == pytest.approx(r_at_1, abs=1.01 / 30)
    assert model["p_at_10"]["value"] == pytest.approx(p_at_10, abs=3.01 / 300)
    for name in ("r_at_1", "p_at_10", "map", "ndcg_at_10"):
        estimate = model[name]
        assert set(estimate) == {"value", "low", "high"}
        assert 0 < estimate["low"] <= estimate["value"] <= estimate["high"] <= 1
    assert not (tmp_path / "photos.db").exists()


def test_the_figures_as_a_table(cli: Cli, photos: Path) -> None:
    header, row = (line.split("\t") for line in cli("evaluate", photos).out.splitlines())
    assert header == HEADER
    assert row[:3] == [DEFAULT_MODEL, "384", "30"]
    assert all(re.fullmatch(r"[01]\.\d{3} ±0\.\d\d", cell) for cell in row[4:8])
    assert row[8] == "1.000"


def test_the_table_fits_a_narrow_terminal(photos: Path) -> None:
    shown = on_terminal("evaluate", photos, columns=80)
    assert "Measuring" in shown
    *_, header, row, intervals = shown.rstrip().splitlines()
    assert header.split() == HEADER
    assert row.split()[1:3] == ["384", "30"]
    assert row.split()[8] == "1.000"
    assert intervals.count("±0.") == 4


def test_models_are_compared_each_once_and_all_known_before_the_first_runs(
    cli: Cli, photos: Path
) -> None:
    twice = cli("evaluate", photos, "--models", f"{DEFAULT_MODEL}, {DEFAULT_MODEL}")
    assert len(twice.out.splitlines()) == 2
    line = line_of(cli("evaluate", photos, "--models", f"{DEFAULT_MODEL},resnet-x"))
    assert "There is no model 'resnet-x'" in line
    assert "There is no model 'resnet-x'" in line_of(cli("evaluate", photos, "--model", "resnet-x"))
    for arguments in (("--models", ","), ("--models", "a,b", "--model", "c")):
        assert cli("evaluate", photos, *arguments).code == 2


class Page(HTMLParser):
    """What is on a report: its tags, and which hits are marked as right."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.marks: list[tuple[str | None, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data
        if data in ("✓", "✗"):
            self.marks.append((self.tags[-1][1]["aria-label"], data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_report_shows_the_worst_queries_and_needs_nothing_else(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    hostile = photos / "<script>" / 'a"b<i>.jpg'
    hostile.parent.mkdir()
    hostile.write_bytes((photos / "birds" / "crow.jpg").read_bytes())
    outcome = cli(
        "evaluate", photos, "--report", tmp_path / "report.html", "--limit-worst", "3"
    )  # fmt: skip
    assert outcome.code == 0, outcome
    assert outcome.err.splitlines() == [
        "Not asked, for no other picture has their label: 1 of 31 pictures.",
        f"The worst queries, as pictures: {tmp_path}/report.html",
    ]
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "://" not in text.replace("file://", "")
    page = Page(text)
    assert not {"script", "i", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert len(page.all("article")) == 3
    assert len(page.all("img")) == 3 * 11
    assert all(str(img["src"]).startswith("data:image/jpeg;base64,") for img in page.all("img"))
    # By the folders that the links lead to, which the marks are not made from.
    links = [str(a["href"]).removeprefix("file://").split("/")[-2] for a in page.all("a")]
    assert len(page.marks) == 30
    for number, (verdict, mark) in enumerate(page.marks):
        query, hit = links[number // 10 * 11], links[number // 10 * 11 + 1 + number % 10]
        assert (verdict, mark) == (("right", "✓") if query == hit else ("wrong", "✗"))


def test_several_models_stand_side_by_side(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluated(photos, tmp_path / "photos.db")
    measured = [
        Measured(found, 200.0),
        Measured(dataclasses.replace(found, model="<other>", dim=7), 9.4),
    ]
    figures.print_table(measured)
    header, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert (header, [row[:4] for row in rows]) == (
        HEADER,
        [[DEFAULT_MODEL, "384", "24", "200"], ["<other>", "7", "24", "9"]],
    )
    models = json.loads(figures.as_json("/photos", measured))["models"]
    assert [(model["model"], model["images_per_second"]) for model in models] == [
        (DEFAULT_MODEL, 200.0),
        ("<other>", 9.4),
    ]
    page = Page(evaluation_report(photos.as_posix(), measured, worst=2))
    assert (len(page.all("section")), len(page.all("article"))) == (2, 4)
    assert len([tag for tag, _ in page.tags if tag == "td"]) == 2 * len(HEADER)
    assert "<other>" in page.text


def test_a_label_is_the_folder_that_directly_holds_the_picture() -> None:
    paths = ["/p/train/birds/1.jpg", "/p/test/birds/1.jpg", "/p/fish/1.jpg", "/p/1.jpg"]
    assert list(labels.from_folders(paths).values()) == ["birds", "birds", "fish", "p"]


def write_table(path: Path, *rows: str, header: str = "path,label") -> Path:
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def test_labels_from_a_table_replace_those_of_the_folders(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    black, white, left_out = ["crow.jpg", "blackbird.jpg"], ["pelican.png", "silver-gull.jpg"], 26
    table = write_table(
        tmp_path / "labels.csv",
        f"birds/{black[0]},black",  # below the folder
        f"photos/birds/{black[1]},black",  # beside the table
        f"{photos / 'birds' / white[0]},white",
        f'"birds/{white[1]}"," white "',
    )
    outcome = cli("evaluate", photos, "--labels", table, "--format", "json")
    assert outcome.code == 0, outcome
    assert outcome.err == f"Left out, for {table} does not name them: {left_out} of 30 pictures.\n"
    assert (outcome.json["pictures"], outcome.json["classes"]) == (4, 2)


def test_a_table_from_a_spreadsheet_with_more_columns(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    rows = [
        f"{number},{path.relative_to(photos)},{path.name[0] < 'm'}\r\n"
        for number, path in enumerate(pictures(photos))
    ]
    table = tmp_path / "labels.csv"
    table.write_bytes(("\ufeffid,path,label\r\n" + "".join(rows)).encode())
    outcome = cli("evaluate", photos, "--labels", table, "--format", "json")
    assert (outcome.err, outcome.json["pictures"], outcome.json["classes"]) == ("", 30, 2)


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        ("path,label\nbirds/crow.jpg,a\nbirds/craw.jpg,b\n", ", line 3", "no picture 'birds/craw"),
        ("path,label\n/etc/passwd,a\n", ", line 2", "no picture '/etc/passwd'"),
        ("path,label\nbirds/crow.jpg\n", ", line 2", "a row must be: path,label"),
        ("path,label\nbirds/crow.jpg,\n", ", line 2", "a row must be: path,label"),
        ("path,label\n\n,a\n", ", line 3", "a row must be: path,label"),
        ("path,label\nbirds/crow.jpg,a,b\n", ", line 2", "a row must be: path,label"),
        ("path,label\nbirds/crow.jpg,a\nbirds/crow.jpg,b\n", ", line 3", "'a' further up"),
        ('path,label\nbirds/crow.jpg,"a\n', ", after line 1", "unexpected end of data"),
        ("birds/crow.jpg,a\n", ", line 1", "the header must be: path,label"),
        ("", ", line 1", "the header must be: path,label"),
        ("path,label\n", "", "no row below the header"),
        ("path,label\nbirds/crow.jpg,\udce9\n", "", "not text in UTF-8"),
        (None, "", "cannot be read (No such file or directory)"),
    ],
)
def test_a_table_that_is_wrong_is_named_with_the_line(
    cli: Cli, photos: Path, tmp_path: Path, content: str | None, place: str, reason: str
) -> None:
    table = tmp_path / "labels.csv"
    if content is not None:
        table.write_bytes(content.encode("utf-8", "surrogateescape"))
    line = line_of(cli("evaluate", photos, "--labels", table))
    assert line.startswith(f"lookalike: {table}{place}")
    assert reason in line


def test_labels_that_nothing_can_be_measured_with(cli: Cli, photos: Path, tmp_path: Path) -> None:
    assert "The only label is 'birds'" in line_of(cli("evaluate", photos / "birds"))
    alone = write_table(tmp_path / "labels.csv", "birds/crow.jpg,a", "birds/duck.jpg,b")
    line = line_of(cli("evaluate", photos, "--labels", alone))
    assert "Each of the 2 pictures has a label of its own" in line
    (tmp_path / "empty").mkdir()
    assert "There are no pictures in" in line_of(cli("evaluate", tmp_path / "empty"))
    assert "nowhere does not exist" in line_of(cli("evaluate", tmp_path / "nowhere"))
    file = photos / "birds" / "crow.jpg"
    assert "must be a folder of pictures" in line_of(cli("evaluate", file))
    report = ("--report", tmp_path / "nowhere" / "report.html")
    assert cli("evaluate", photos, *report).code == 2


def test_pictures_that_cannot_be_used_are_named_and_left_out(cli: Cli, photos: Path) -> None:
    bad = photos / "birds" / "bad.jpg"
    bad.write_bytes(b"not a picture")
    outcome = cli("evaluate", photos, "--format", "json")
    assert outcome.code == 0
    assert outcome.err == f"skipped {bad}: it is not a picture in a known format\n"
    assert outcome.json["pictures"] == 30
    assert cli("evaluate", photos, "-q").err == ""


def test_when_only_one_label_is_left_that_is_said_after_the_reasons(cli: Cli, photos: Path) -> None:
    for path in [*pictures(photos / "birds"), *pictures(photos / "trees")]:
        path.write_bytes(b"")
    outcome = cli("evaluate", photos)
    assert (outcome.code, outcome.out) == (1, "")
    *skipped, line = outcome.err.splitlines()
    assert len(skipped) == 18
    assert "The only label is 'flowers'" in line


def evaluated(photos: Path, database: Path) -> Evaluation:
    """Of birds and flowers, in an index that has trees, too."""
    known = {
        path.as_posix(): path.parent.name
        for path in pictures(photos)
        if path.parent.name != "trees"
    }
    with Index.open(database) as index:
        index.add(photos)
        return index.evaluate(known)


def test_an_index_is_evaluated_on_its_labelled_pictures_in_the_order_of_their_paths(
    photos: Path, tmp_path: Path
) -> None:
    found = evaluated(photos, tmp_path / "photos.db")
    expected = [
        path.as_posix() for path in pictures(photos / "birds") + pictures(photos / "flowers")
    ]
    assert list(found.paths) == expected
    assert (found.pictures, found.classes, found.quality.queries) == (24, 2, 24)
    assert found.recall_at_10 == 1.0


def test_the_worst_queries_come_with_their_nearest_pictures(photos: Path, tmp_path: Path) -> None:
    found = evaluated(photos, tmp_path / "photos.db")
    worst = found.worst(5)
    precisions = [query.average_precision for query in found.worst(100)]
    assert (len(worst), len(precisions)) == (5, 24)
    assert precisions == sorted(found.quality.average_precision)
    vectors = load_embedder().embed_files(found.paths)
    for query in worst:
        scores = vectors @ vectors[found.paths.index(query.path)]
        assert query.label == Path(query.path).parent.name
        assert query.path not in [hit.path for hit in query.hits]
        assert len(query.hits) == 10
        for hit in query.hits:
            assert hit.score == pytest.approx(scores[found.paths.index(hit.path)], abs=0.01)
            assert hit.right == (Path(hit.path).parent.name == query.label)


def test_an_empty_index_cannot_be_evaluated(tmp_path: Path) -> None:
    with Index.open(tmp_path / "photos.db") as index, pytest.raises(LabelsUnusable):
        index.evaluate({"/a.jpg": "a"})


class Forgetful(MilvusStore):
    """A store whose search leaves out the nearest picture that is not the query itself."""

    def search(
        self, vector: Vector, *, limit: int, offset: int = 0, condition: str = ""
    ) -> list[Hit]:
        first, _, *others = super().search(
            vector, limit=limit + 1, offset=offset, condition=condition
        )
        return [first, *others]


@pytest.mark.parametrize(("kind", "expected"), [(MilvusStore, 1.0), (Forgetful, 0.9)])
def test_recall_is_the_part_of_the_nearest_that_the_search_finds(
    tmp_path: Path, kind: type[MilvusStore], expected: float
) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(50, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert recall_of(kind, rows, tmp_path) == pytest.approx(expected)


def test_a_copy_that_stands_in_for_another_is_no_loss(tmp_path: Path) -> None:
    rows = np.eye(4, dtype=np.float32)[np.arange(80) % 4]
    assert recall_of(Forgetful, rows, tmp_path) == 1.0


def recall_of(
    kind: type[MilvusStore], rows: np.ndarray[tuple[int, int], np.dtype[np.float32]], folder: Path
) -> float:
    model = CollectionModel(model="test", fingerprint="f", dim=rows.shape[1])
    store = kind(str(folder / "test.db"), "images", create=model)
    paths = [f"/{number}.jpg" for number in range(len(rows))]
    store.upsert([
        ImageRecord(
            path=path, content="0" * 32, stamp=Stamp(1, 2), width=3, height=4, taken_at=0,
            format="jpeg", vector=row,
        )
        for path, row in zip(paths, rows, strict=True)
    ])  # fmt: skip
    found = recall(store, paths, rows)
    store.close()
    return found
