"""Text-image models: both towers are open_clip's own, and run without it after the first use."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lookalike import Index, ModelUnusable, Settings, UnknownModel, load_embedder
from lookalike.embed import clip_export, clip_models, exports
from lookalike.embed.embedder import TextEmbedder, TextImageEmbedder, reads_words
from lookalike.embed.tokens import Tokens
from tests.conftest import Outcome
from tests.text_image import save_clip, save_siglip

# Its threads wait for each other: with a busy neighbour two are ten times as slow as one.
torch.set_num_threads(1)

FP32 = Settings(precision="fp32", device="cpu")
TEXTS = [
    "a red car", "two birds on a branch", "ein Haus am See", "", "tiger shark", "東京の夜 😀",
    "a photo of a very long way " * 20,
]  # fmt: skip
HIDDEN = ("torch", "timm", "torchvision", "open_clip", "transformers", "nncf")

Vectors = npt.NDArray[np.float32]

pytestmark = pytest.mark.usefixtures("models_cache")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of both kinds with random weights."""
    root = tmp_path_factory.mktemp("models")
    return {"clip": save_clip(root / "clip"), "siglip": save_siglip(root / "siglip")}


@pytest.fixture(scope="module", params=["clip", "siglip"])
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    """A model of each kind, to be left as it is."""
    return folders[request.param]


@pytest.fixture(scope="module")
def files(samples: Path) -> list[Path]:
    """A picture of each kind."""
    return [min(kind.glob("*.jpg")) for kind in sorted(samples.iterdir()) if kind.is_dir()]


def embedder_of(folder: Path, settings: Settings = FP32) -> TextImageEmbedder:
    embedder = load_embedder(f"clip:{folder}", settings=settings)
    assert isinstance(embedder, TextImageEmbedder)
    return embedder


def plain_open_clip(folder: Path, files: list[Path], texts: list[str]) -> tuple[Vectors, Vectors]:
    """(n, dim) of pictures and of texts: as open_clip's documentation has it."""
    name = f"local-dir:{folder}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    tokens = open_clip.get_tokenizer(name)(texts)
    with torch.inference_mode():
        batch = torch.stack([preprocess(Image.open(path)) for path in files])
        pictures = model.encode_image(batch, normalize=True).numpy()
        words = model.encode_text(tokens, normalize=True).numpy()
    return pictures, words


def test_both_towers_give_the_vectors_of_open_clip(folder: Path, files: list[Path]) -> None:
    embedder = embedder_of(folder)
    pictures, words = plain_open_clip(folder, files, TEXTS)
    assert (embedder.embed_files(files) * pictures).sum(axis=1).min() >= 0.999
    vectors = embedder.embed_text(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dim)
    assert vectors.dtype == np.float32
    assert (vectors * words).sum(axis=1).min() >= 0.9999
    for expected in (pictures, words):
        assert (expected @ expected.T).min() < 0.9, "random weights, too, tell them apart"
    assert embedder.embed_text([]).shape == (0, embedder.dim)


def strange_texts(count: int) -> list[str]:
    """Of letters, of ASCII, of all that Unicode has, and of words with what stands between them."""
    draw = random.Random(0)
    known = [chr(code) for code in range(32, 0x20000)]
    known = [char for char in known if unicodedata.category(char) not in ("Cn", "Co", "Cs")]
    ascii_alone, letters = known[:95], [char for char in known[:1500] if char.isalpha()]
    words = [
        *open_clip.IMAGENET_CLASSNAMES,
        "it's",
        "we'll",
        "<b>",
        "&amp;",
        "…",
        "👍🏽",
        "\t",
        " - ",
    ]
    texts = []
    for _ in range(count):
        pool = draw.choice([known, ascii_alone, letters, words])
        glue = " " if pool is words else ""
        texts.append(glue.join(draw.choices(pool, k=draw.randint(0, 30))))
    return texts


def test_texts_are_split_as_open_clip_does_whatever_they_are(folder: Path) -> None:
    embedder = embedder_of(folder)
    place = exports.find(embedder.fingerprint)
    assert place
    tokens = Tokens.read(place / "tokenizer.json", cleaning=embedder.description.cleaning)
    texts = [*TEXTS, *strange_texts(3000)]
    expected = open_clip.get_tokenizer(f"local-dir:{folder}")(texts).numpy()
    different = (tokens(texts) != expected).any(axis=1)
    assert [text for text, differs in zip(texts, different, strict=True) if differs] == []


def test_an_index_is_asked_with_words(folder: Path, samples: Path, tmp_path: Path) -> None:
    database = tmp_path / "words.db"
    with Index.open(database, model=f"clip:{folder}", settings=FP32) as index:
        assert index.add(samples / "birds", samples / "deer").added == 18
    pictures = sorted([*(samples / "birds").glob("*.*g"), *(samples / "deer").glob("*.*g")])
    _, words = plain_open_clip(folder, pictures[:1], TEXTS[:3])
    with Index.open(database, settings=FP32) as index:
        assert index.info().model == f"clip:{folder}"
        embedder = index.embedder
        assert reads_words(embedder)
        vectors = embedder_of(folder).embed_files(pictures)
        for text, word in zip(TEXTS[:3], words, strict=True):
            hits = index._store.search(embedder.embed_text([text])[0], limit=18)
            scores = dict(zip(map(str, pictures), vectors @ word, strict=True))
            assert [hit.score for hit in hits] == pytest.approx(
                sorted(scores.values(), reverse=True), abs=1e-4
            )
            assert {hit.path: hit.score for hit in hits} == pytest.approx(scores, abs=1e-4)
        crow = index.search(samples / "birds" / "crow.jpg", limit=1)[0]
        assert Path(crow.path).name == "crow.jpg"


def test_only_models_with_a_text_tower_read_words(folders: dict[str, Path]) -> None:
    packaged = load_embedder(settings=FP32)
    assert not reads_words(packaged)
    assert not isinstance(packaged, TextEmbedder)
    assert reads_words(embedder_of(folders["clip"]))


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """Variables of an environment in which these cannot be imported."""
    return hiding(tmp_path, HIDDEN)


def hiding(folder: Path, modules: tuple[str, ...]) -> dict[str, str]:
    blocked = folder / "blocked"
    blocked.mkdir(exist_ok=True)
    hidden = dict.fromkeys(modules)
    (blocked / "sitecustomize.py").write_text(f"import sys; sys.modules.update({hidden})\n")
    return {"PYTHONPATH": os.pathsep.join([str(blocked), os.environ.get("PYTHONPATH", "")])}


PROGRAM = """
import json, sys
from lookalike import load_embedder, Settings
embedder = load_embedder(sys.argv[1], settings=Settings(precision="fp32"))
picture, word = embedder.embed_files([sys.argv[2]]), embedder.embed_text(["a red car"])
print(json.dumps([picture.tolist(), word.tolist()]))
"""


def test_after_the_first_use_both_towers_run_without_torch_and_open_clip(
    folder: Path,
    files: list[Path],
    samples: Path,
    cli: Callable[..., Outcome],
    without_torch: dict[str, str],
    tmp_path: Path,
) -> None:
    embedder = embedder_of(folder)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"clip:{folder}", str(files[0])],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **without_torch},
    )
    picture, word = json.loads(done.stdout)
    assert np.allclose(picture, embedder.embed_files(files[:1]), atol=1e-5)
    assert np.allclose(word, embedder.embed_text(["a red car"]), atol=1e-5)
    made = cli("index", samples / "deer", "--model", f"clip:{folder}", **without_torch)
    assert (made.code, made.err) == (0, "")
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    state = load_file(other / "open_clip_model.safetensors")
    state["logit_scale"] += 1  # another file, not exported yet
    save_file(state, other / "open_clip_model.safetensors")
    refused = cli("index", samples / "deer", "--model", f"clip:{other}", **without_torch)
    assert refused.code == 1
    assert refused.err == (
        f"lookalike: The model clip:{other} needs text; install it with: "
        "pip install 'lookalike[text]'\n"
    )


def test_words_need_only_a_tokenizer_and_say_so_where_it_is_missing(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    name = f"clip:{folders['clip']}"
    embedder_of(folders["clip"])
    program = (
        "import sys; from lookalike import load_embedder, LookalikeError\n"
        f"embedder = load_embedder({name!r})\n"
        "try: embedder.embed_text(['a'])\n"
        "except LookalikeError as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **hiding(tmp_path, ("tokenizers",))},
    )
    assert said.stdout == (
        f"Words for {name} needs text; install it with: pip install 'lookalike[text]'\n"
    )


def test_a_model_that_is_ready_imports_no_torch_and_no_image_tower_for_words(
    folders: dict[str, Path],
) -> None:
    embedder_of(folders["clip"])
    program = (
        "import sys; from lookalike import load_embedder;"
        f"embedder = load_embedder('clip:{folders['clip']}');"
        "from lookalike.embed import openvino_engine as engine; start = engine.OpenVINOEngine;"
        "started = []; engine.OpenVINOEngine = lambda *a, **k: started.append(k) or start(*a, **k);"
        "embedder.embed_text(['a']); assert [k['graph'] for k in started] == ['text.xml'], started;"
        f"assert not {set(HIDDEN)} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("damage", ["text.bin", "tokenizer.json"])
def test_a_damaged_tower_is_made_again(folders: dict[str, Path], damage: str) -> None:
    embedder = embedder_of(folders["siglip"])
    before = embedder.embed_text(TEXTS)
    place = exports.find(embedder.fingerprint)
    assert place
    data = bytearray((place / damage).read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8] = b"\0" * 8
    (place / damage).write_bytes(data)
    again = embedder_of(folders["siglip"])
    assert np.allclose(again.embed_text(TEXTS), before)
    assert exports.is_whole(place)


def changed(folder: Path, into: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a model with other weights."""
    shutil.copytree(folder, into)
    state = load_file(into / "open_clip_model.safetensors")
    change(state)
    save_file(state, into / "open_clip_model.safetensors")
    return into


def test_the_fingerprint_is_that_of_both_towers_and_the_tokenizer(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    first = fingerprint(folders["siglip"])
    copy = shutil.copytree(folders["siglip"], tmp_path / "copy")
    assert fingerprint(copy) == first
    picture = changed(
        copy, tmp_path / "picture", lambda state: state["visual.trunk.norm.weight"].add_(0.1)
    )
    text = changed(copy, tmp_path / "text", lambda state: state["text.ln_final.weight"].add_(0.1))
    scale = changed(copy, tmp_path / "scale", lambda state: state["logit_scale"].add_(0.1))
    tokenizer = json.loads((copy / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["vocab"][10:12] = reversed(tokenizer["model"]["vocab"][10:12])
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    assert len({first, *map(fingerprint, (picture, text, copy))}) == 4
    assert fingerprint(scale) == first, "how scores are scaled is not in the vectors"


def fingerprint(folder: Path) -> str:
    weights = folder / "open_clip_model.safetensors"
    model = clip_models.build("any", clip_name=f"clip:{folder}", weights=weights)
    return model.images.description.fingerprint


def test_pytorch_gives_the_vectors_of_openvino_and_words_stay_on_the_cpu(
    folder: Path, files: list[Path]
) -> None:
    embedder = embedder_of(folder)
    pictures = np.stack([embedder.prepare(Image.open(path)) for path in files[:5]])
    weights = folder / "open_clip_model.safetensors"
    engine = clip_export.start(embedder.description, embedder.name, weights, "cpu", "fp32")
    assert (engine(pictures) * embedder.embed(pictures)).sum(axis=1).min() >= 0.9999
    with pytest.raises(ModelUnusable, match="--weights FILE"):
        other = embedder_of(folder).description
        object.__setattr__(other, "fingerprint", "0" * 32)
        clip_export.start(other, embedder.name, weights, "cpu", "fp32")


def test_int8_keeps_its_text_tower(
    folders: dict[str, Path], samples: Path, files: list[Path]
) -> None:
    name, settings = f"clip:{folders['siglip']}", Settings(precision="int8", device="cpu")
    pictures = sorted((samples / "birds").glob("*.jpg"))
    int8 = load_embedder(name, calibration=pictures, settings=settings)
    floating = embedder_of(folders["siglip"])
    assert isinstance(int8, TextImageEmbedder)
    assert int8.fingerprint != floating.fingerprint
    assert np.allclose(int8.embed_text(TEXTS), floating.embed_text(TEXTS), atol=1e-5)
    assert (int8.embed_files(files) * floating.embed_files(files)).sum(axis=1).mean() > 0.9


def test_a_checkpoint_of_the_whole_model_is_named_beside_its_architecture(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[Path]
) -> None:
    config = json.loads((folders["clip"] / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "tiny-clip.json").write_text(json.dumps(config))
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIG_PATHS", [])
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    state = load_file(folders["clip"] / "open_clip_model.safetensors")
    torch.save({"state_dict": state}, tmp_path / "trained.pt")
    embedder = load_embedder("clip:tiny-clip", weights=tmp_path / "trained.pt", settings=FP32)
    assert isinstance(embedder, TextImageEmbedder)
    own = embedder_of(folders["clip"])
    assert embedder.fingerprint == own.fingerprint
    assert embedder.name == "clip:tiny-clip"
    with pytest.raises(ModelUnusable, match="needs weights: there are none to download"):
        load_embedder("clip:tiny-clip")


class Evil:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch /tmp/lookalike-was-here-too",))


def test_bad_weights_are_one_line_each(folders: dict[str, Path], tmp_path: Path) -> None:
    good = load_file(folders["clip"] / "open_clip_model.safetensors")
    first = "text_projection"
    cases = {
        "shape.pt": (good | {first: torch.zeros(1)}, f"size mismatch for {first}"),
        "few.pt": ({first: good[first]}, "Missing key"),
        "more.pt": (good | {"layer9.weight": torch.zeros(1)}, "layer9.weight"),
        "list.pt": ([1, 2], "no checkpoint"),
        "evil.pt": ({"state_dict": Evil()}, "no checkpoint"),
    }
    for name, (content, _) in cases.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text.safetensors").write_bytes(b"hello")
    (tmp_path / "nil.pt").write_bytes(b"")
    expected = {name: says for name, (_, says) in cases.items()}
    expected |= {"text.safetensors": "no checkpoint", "nil.pt": "no checkpoint"}
    expected |= {"missing.pt": "cannot be read"}
    for name, says in expected.items():
        with pytest.raises(ModelUnusable, match=says) as caught:
            load_embedder(f"clip:{folders['clip']}", weights=tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not Path("/tmp/lookalike-was-here-too").exists()


def test_what_is_no_model_is_one_line_each(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="clip:ViT-B-32-quickgelu"):
        load_embedder("clip:VitB32-quickgelu")
    with pytest.raises(UnknownModel, match="clip:ViT-B-32/laion2b_s34b_b79k"):
        load_embedder("clip:ViT-B-32/laion2b")
    with pytest.raises(ModelUnusable, match=r"needs weights: name one of its tags.*clip:ViT-B-32/"):
        load_embedder("clip:ViT-B-32")
    weights = folders["clip"] / "open_clip_model.safetensors"
    with pytest.raises(ModelUnusable, match="none of open_clip's own"):
        load_embedder("clip:xlm-roberta-base-ViT-B-32", weights=weights)
    with pytest.raises(ModelUnusable, match=r"tokenizer of siglip2-base-text.*clip:FOLDER"):
        load_embedder("siglip2-base-text", weights=weights)
    empty, bare, broken = (tmp_path / name for name in ("empty", "bare", "broken"))
    for folder in (empty, bare, broken):
        folder.mkdir()
    shutil.copy(folders["clip"] / "open_clip_config.json", bare)
    for name in ("open_clip_model.safetensors", "open_clip_config.json"):
        shutil.copy(folders["clip"] / name, broken)
    (broken / "open_clip_config.json").write_text("{")
    for folder, says in (
        (empty, "There is no open_clip_config.json"),
        (bare, "There are no weights in"),
        (broken, "open_clip_config.json of .* is damaged"),
    ):
        with pytest.raises(ModelUnusable, match=says) as caught:
            load_embedder(f"clip:{folder}")
        assert "\n" not in str(caught.value)


def test_a_configuration_cannot_have_code_run(folders: dict[str, Path], tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    shutil.copytree(folders["siglip"], evil)
    (evil / "own.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\nclass Own: pass\n"
    )
    known = json.loads((evil / "tokenizer_config.json").read_text())
    known |= {"auto_map": {"AutoTokenizer": ["own.Own", "own.Own"]}, "tokenizer_class": "Own"}
    (evil / "tokenizer_config.json").write_text(json.dumps(known))
    config = json.loads((evil / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"]["trust_remote_code"] = True
    (evil / "open_clip_config.json").write_text(json.dumps(config))
    state = load_file(evil / "open_clip_model.safetensors")
    state["logit_scale"] += 1
    save_file(state, evil / "open_clip_model.safetensors")
    with pytest.raises(ModelUnusable) as caught:
        load_embedder(f"clip:{evil}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()
