"""How long does a picture take from its bytes to what the model sees?

Here: `lookalike.decode` and the packaged model's `prepare`. The plain way: Pillow decodes the whole
and converts it to RGB, and timm's evaluation transform for the same model follows. Large pictures
are made from the photos of a folder: enlarged, with grain like a sensor's, because smooth pixels
would decode too fast. The two take turns, each picture in one thread; the figures are medians.
Beside them stands how alike the embeddings of the two ways are, at worst.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
import timm.data
from measure import arguments, pictures_in, publish
from PIL import Image

from lookalike import Settings, load_embedder
from lookalike.decode import decode
from lookalike.embed.embedder import ModelEmbedder
from lookalike.records import Pixels

GRAIN = 3.0  # standard deviation, of 255: a phone's in daylight
CASES: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("JPEG", 0.2, {"quality": 90}),
    ("JPEG", 12, {"quality": 90}),
    ("JPEG", 48, {"quality": 90}),
    ("HEIF", 12, {"quality": 60}),
    ("PNG", 12, {"compress_level": 4}),
    ("WEBP", 12, {"quality": 85, "method": 2}),
    ("TIFF", 12, {"compression": "tiff_lzw"}),
)


@dataclass(frozen=True)
class Case:
    """What was measured of one format and size: milliseconds per picture."""

    format: str
    megapixels: float
    megabytes: float
    plain_ms: float
    ours_ms: float
    lowest_cosine: float


def enlarged(photo: Path, megapixels: float, seed: int) -> Image.Image:
    """A photo at 4:3 and of this many megapixels, with grain."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    with Image.open(photo) as image:
        large = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    random = np.random.default_rng(seed)
    pixels = np.asarray(large)
    bands = [_grained(rows, random) for rows in np.array_split(pixels, 16)]
    return Image.fromarray(np.concatenate(bands))


def _grained(rows: Pixels, random: np.random.Generator) -> Pixels:
    grain = random.normal(0, GRAIN, (*rows.shape[:2], 1)).astype(np.float32)
    grained: Pixels = (rows + grain).clip(0, 255).astype(np.uint8)
    return grained


def encoded(image: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(image).save(out, **options)
    else:
        image.save(out, kind, **options)
    return out.getvalue()


def timed(work: Callable[[bytes], Pixels], data: bytes) -> tuple[float, Pixels]:
    started = time.perf_counter()
    pixels = work(data)
    return time.perf_counter() - started, pixels


def measured(
    case: tuple[str, float, dict[str, Any]],
    photos: Sequence[Path],
    *,
    embedder: ModelEmbedder,
    turns: int,
) -> Case:
    kind, megapixels, options = case
    max_pixels = Settings.from_environment().max_pixels
    transform = timms_transform(embedder)

    def plain(data: bytes) -> Pixels:
        with Image.open(io.BytesIO(data)) as image:
            return transform(image.convert("RGB"))

    def ours(data: bytes) -> Pixels:
        picture = decode(data, path="picture", least=embedder.least, max_pixels=max_pixels)
        return embedder.prepare(picture.image)

    seconds: tuple[list[float], list[float]] = ([], [])
    sizes, cosines = [], []
    for number, photo in enumerate(photos):
        data = encoded(enlarged(photo, megapixels, number), kind, options)
        sizes.append(len(data) / 1e6)
        for turn in range(turns + 1):
            one, seen_plainly = timed(plain, data)
            other, seen = timed(ours, data)
            if turn:  # the first is to warm up
                seconds[0].append(one)
                seconds[1].append(other)
        cosines.append(likeness(embedder.embed(np.stack([seen_plainly, seen]))))
    plain_ms, ours_ms = (statistics.median(side) * 1e3 for side in seconds)
    return Case(kind, megapixels, statistics.median(sizes), plain_ms, ours_ms, min(cosines))


def likeness(vectors: npt.NDArray[np.float32]) -> float:
    return float(vectors[0] @ vectors[1])


def timms_transform(embedder: ModelEmbedder) -> Callable[[Image.Image], Pixels]:
    """What timm has for the model, with its floats put back into the pixels they stand for."""
    model = embedder.description
    transform = timm.data.create_transform(
        input_size=(3, *model.size),
        mean=model.mean,
        std=model.std,
        crop_pct=model.crop,
        crop_mode=model.crop_mode,
        interpolation=model.interpolation,
    )

    def seen(image: Image.Image) -> Pixels:
        floats = transform(image).numpy().transpose(1, 2, 0)
        pixels: Pixels = (255 * (floats * model.std + model.mean)).round().clip(0, 255).astype("u1")
        return pixels

    return seen


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, help="photos, of which large pictures are made")
    parser.add_argument("--photos", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--turns", type=int, default=5, help="of each with each (default 5)")
    args = parser.parse_args()
    pillow_heif.register_heif_opener()  # for the plain way alone
    photos = pictures_in(args.folder)[: args.photos]
    embedder = load_embedder()
    cases = [measured(case, photos, embedder=embedder, turns=args.turns) for case in CASES]
    publish(
        f"From bytes to the model's {embedder.least[0]} pixels: ms per picture, "
        f"medians of {args.turns} turns with {len(photos)} pictures",
        [
            ("", "MB", "Pillow + timm", "lookalike", "times as fast", "cosine at least"),
            *(
                (
                    f"{case.format}, {case.megapixels:g} megapixels",
                    f"{case.megabytes:.1f}",
                    f"{case.plain_ms:.1f}",
                    f"{case.ours_ms:.1f}",
                    f"{case.plain_ms / case.ours_ms:.1f}",
                    f"{case.lowest_cosine:.4f}",
                )
                for case in cases
            ),
        ],
        figures={"cases": [asdict(case) for case in cases]},
        json_file=args.json,
    )


if __name__ == "__main__":
    main()
