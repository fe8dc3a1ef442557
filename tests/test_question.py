"""What the words of a question mean, and which make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lookalike import Crop, Index, InvalidQuestion, Query, Term, Words

ID = "0123456789abcdef" * 2
HALF = "10%,10%,50%,50%"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with files whose names could mean something else."""
    for name in ("beach.jpg", "red", "0.5:x.jpg", f"beach.jpg@{HALF}", "text:a", "+", "https:"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def only(word: str) -> tuple[object, ...]:
    (term,) = Query([word]).described()["terms"]
    return term["kind"], term["value"], term["weight"], term["crop"]


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("beach.jpg", ("file", "beach.jpg", 1.0, None)),
        ("red", ("file", "red", 1.0, None)),
        ("blue", ("words", "blue", 1.0, None)),
        ("a red car", ("words", "a red car", 1.0, None)),
        ("text:red", ("words", "red", 1.0, None)),
        ("text:a", ("words", "a", 1.0, None)),
        ("./text:a", ("file", "./text:a", 1.0, None)),
        ("text:3:10 to Yuma", ("words", "3:10 to Yuma", 1.0, None)),
        ("3:10 to Yuma", ("words", "10 to Yuma", 3.0, None)),
        ("missing.JPG", ("file", "missing.JPG", 1.0, None)),
        ("missing/picture", ("file", "missing/picture", 1.0, None)),
        ("file:blue", ("file", "blue", 1.0, None)),
        ("file:0.5:y.jpg", ("file", "0.5:y.jpg", 1.0, None)),
        ("file:///a/b.jpg", ("file", "file:///a/b.jpg", 1.0, None)),
        ("0.5:x.jpg", ("file", "0.5:x.jpg", 1.0, None)),
        ("0.5:beach.jpg", ("file", "beach.jpg", 0.5, None)),
        ("0.5:2:beach.jpg", ("file", "2:beach.jpg", 0.5, None)),
        ("1:" * 5000 + "blue", ("words", "1:" * 4999 + "blue", 1.0, None)),
        ("folder", ("words", "folder", 1.0, None)),
        ("./folder", ("file", "./folder", 1.0, None)),
        (".5:blue", ("words", "blue", 0.5, None)),
        ("-2:blue", ("words", "blue", -2.0, None)),
        (f"beach.jpg@{HALF}", ("file", f"beach.jpg@{HALF}", 1.0, None)),
        ("beach.jpg@0,1,20,30", ("file", "beach.jpg", 1.0, "0,1,20,30")),
        (f"0.25:red@{HALF}", ("file", "red", 0.25, HALF)),
        ("old.zip!/a", ("file", "old.zip!/a", 1.0, None)),
        ("s3://bucket/a", ("file", "s3://bucket/a", 1.0, None)),
        ("HTTPS://e.org/a@b", ("url", "HTTPS://e.org/a@b", 1.0, None)),
        ("2:http://e.org/a@0,0,9,9", ("url", "http://e.org/a", 2.0, "0,0,9,9")),
        (f"id:{ID}", ("id", ID, 1.0, None)),
        (f"0.5:id:{ID.upper()}", ("id", ID, 0.5, None)),
        ("clipboard:", ("clipboard", None, 1.0, None)),
        ("clipboard", ("words", "clipboard", 1.0, None)),
        (f"clipboard:@{HALF}", ("clipboard", None, 1.0, HALF)),
    ],
)
def test_a_word_means_the_first_thing_that_it_can_be(
    word: str, meaning: tuple[object, ...]
) -> None:
    assert only(word) == meaning


@pytest.mark.parametrize(
    ("words", "weights"),
    [
        (["a", "+", "0.5:b", "-", "c"], {"a": 1, "b": 0.5, "c": -1}),
        (["a", "b", "-", "2:c", "d"], {"a": 1, "b": 1, "c": -2, "d": 1}),
        (["-"], {None: 1}),
        (["-", "-", "a"], {None: 1, "a": -1}),
        (["a", "-", "-"], {"a": 1, None: -1}),
        (["a", "+", "0.5:-"], {"a": 1, None: 0.5}),
        (["a", "-", "-1:b"], {"a": 1, "b": 1}),
        (["a", "+", "./+"], {"a": 1, "./+": 1}),
    ],
)
def test_between_two_terms_plus_and_minus_are_operators(
    words: list[str], weights: dict[str | None, float]
) -> None:
    query = Query.parse(words, stdin=lambda: b"picture")
    terms = query.described()["terms"]
    assert {term["value"]: term["weight"] for term in terms} == weights
    assert [term["kind"] == "stdin" for term in terms] == [value is None for value in weights]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "The question is empty"),
        ([""], "The question is empty"),
        (["text: "], "The question is empty"),
        (["+"], r"no term in front of '\+'; a file named \+ is ./\+"),
        (["a", "+", "+", "b"], "no term between two operators"),
        (["a", "+"], r"Nothing follows the last '\+'"),
        (["a", "-"], r"Nothing follows the last '-'; a picture from stdin is added with: \+ -"),
        (["id:12"], "'id:12' names no row: an id is 32 hexadecimal digits"),
        (["beach.jpg@1,2,3"], "'1,2,3' is no crop: give X,Y,WIDTH,HEIGHT"),
        (["beach.jpg@1,2%,3,4"], "'1,2%,3,4' is no crop"),
        (["see you @1,2"], "If these are words: text:see you @1,2"),
        (["see you @1,2,3,4"], "Words with an @ are asked for with text:WORDS"),
        (["beach.jpg@0,0,0,4"], "0,0,0,4 is empty"),
        (["beach.jpg@-1,0,4,4"], "-1,0,4,4 lies outside of every picture"),
        (["beach.jpg@60%,0%,50%,50%"], "lies outside of every picture"),
        (["beach.jpg@0,0,9,9@0,0,9,9"], "is cropped twice"),
        (["blue@0,0,9,9"], "'blue' has no part 0,0,9,9: only a picture can be cropped"),
        ([f"id:{ID}@0,0,9,9"], "names no row"),
        (["caf\udce9"], r"'caf\\udce9' are no words: not valid UTF-8"),
        (["9" * 400 + ":beach.jpg"], "weight of a term is inf"),
        (["-"], "'-' is stdin on the command line alone"),
    ],
)
def test_what_makes_no_sense_is_told(words: list[str], message: str) -> None:
    with pytest.raises(InvalidQuestion, match=message):
        Query.parse(words)


def test_a_folder_is_no_picture_and_words_for_a_model_without_them_are_refused_as_such(
    folder: Path,
) -> None:
    with Index.open(folder / "photos.db") as index:
        with pytest.raises(InvalidQuestion, match="'folder' is a folder; name a picture in it"):
            index.search("folder")
        with pytest.raises(InvalidQuestion, match="needs a model that reads words"):
            index.search("a red house")


def test_in_python_a_path_and_words_are_what_they_are(folder: Path) -> None:
    query = Query([Path("0.5:beach.jpg"), Term(Words("red"), weight=-0.5), b"bytes"])
    assert query.described() == {
        "terms": [
            {"kind": "file", "value": "0.5:beach.jpg", "weight": 1.0, "crop": None},
            {"kind": "words", "value": "red", "weight": -0.5, "crop": None},
            {"kind": "memory", "value": None, "weight": 1.0, "crop": None},
        ]
    }
    assert Query("beach.jpg") == Query.of("beach.jpg") == Query.parse(["beach.jpg"])
    assert Query("beach.jpg").described()["path"] == "beach.jpg"
    assert Query(Query(["red", "blue"]).terms) == Query(["red", "blue"])
    with pytest.raises(InvalidQuestion, match="weight of a term is nan"):
        Term("red", weight=float("nan"))
    with pytest.raises(InvalidQuestion, match="only a picture can be cropped, from its file"):
        Query([Term(f"id:{ID}", crop="0,0,9,9")])
    with pytest.raises(TypeError, match="not int"):
        Query([5])  # type: ignore[list-item]


def test_a_crop_of_the_whole_question_is_that_of_its_only_picture() -> None:
    query = Query(["beach.jpg", Words("blue")]).cropped("0,0,9,9")
    assert query.terms[0].crop == Crop(0, 0, 9, 9)
    assert query.terms[1].crop is None
    assert query.cropped(None) == query
    for words, count in ((["beach.jpg", "red"], "2"), (["blue"], "0"), (["red@0,0,9,9"], "1")):
        with pytest.raises(InvalidQuestion, match=f"the question has {count}"):
            Query(words).cropped("0,0,9,9")


def test_a_crop_is_written_as_it_is_read() -> None:
    for text in ("0,0,1,1", "10.5%,0%,89.5%,100%", "1,2,3,4"):
        assert str(Crop.parse(text)) == text
    assert Crop.parse(" 1, 2 ,3,4") == Crop(1, 2, 3, 4)


def test_a_crop_is_in_the_pixels_of_the_whole_also_on_a_smaller_likeness() -> None:
    likeness = Image.linear_gradient("L").resize((100, 50))
    part = Crop(20, 10, 40, 20).of(likeness, size=(200, 100), name="a.nef")
    assert list(part.get_flattened_data()) == list(
        likeness.crop((10, 5, 30, 15)).get_flattened_data()
    )
    assert Crop(99.9, 99.9, 0.1, 0.1, percent=True).of(
        likeness, size=(200, 100), name="a.nef"
    ).size == (1, 1)
    with pytest.raises(InvalidQuestion, match=r"not inside a.nef, which has 200 × 100 pixels"):
        Crop(150, 0, 60, 10).of(likeness, size=(200, 100), name="a.nef")
