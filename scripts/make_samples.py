"""Rebuild the sample pictures from an unpacked copy of Tux Paint's stamps.

The table in `samples/CREDITS.md` says which stamp becomes which file. Pillow's
version, and the libjpeg and libwebp in it, decide the exact bytes.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

SAMPLES = Path(__file__).resolve().parent.parent / "src" / "lookalike" / "samples"
ROW = re.compile(r"\| `([^`]+)` \| `([^`]+)` \|")
VISIBLE_ALPHA = 16  # fainter pixels are leftovers of the cut-out
MARGIN = 0.04  # of the subject's longer side
ASPECT_MAX = 4 / 3  # so that a centre square still holds most of a slim subject
SHORT_SIDE_MIN_PX = 160
LONG_SIDE_MAX_PX = 384


def read_table(credits_path: Path) -> Iterator[tuple[str, str]]:
    """Yield each table row's sample file and original stamp, both relative."""
    for line in credits_path.read_text(encoding="utf-8").splitlines():
        if row := ROW.match(line):
            yield row[1], row[2]


def frame(stamp: Image.Image) -> Image.Image:
    """Centre the visible part of an RGBA stamp on a transparent canvas of sample size."""
    visible = stamp.getchannel("A").point([0] * VISIBLE_ALPHA + [255] * (256 - VISIBLE_ALPHA))
    subject = stamp.crop(visible.getbbox())
    margin = round(max(subject.size) * MARGIN)
    width, height = (side + 2 * margin for side in subject.size)
    width, height = max(width, round(height / ASPECT_MAX)), max(height, round(width / ASPECT_MAX))
    canvas = Image.new("RGBA", (width, height))
    canvas.paste(subject, ((width - subject.width) // 2, (height - subject.height) // 2))

    enlarge = max(1.0, SHORT_SIDE_MIN_PX / min(width, height))
    scale = min(enlarge, LONG_SIDE_MAX_PX / max(width, height))
    size = (round(width * scale), round(height * scale))
    # Premultiplied, so that hidden colours do not bleed into the edges.
    return canvas.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")


def save(picture: Image.Image, path: Path) -> None:
    """Write an RGBA picture: JPEG on white, WebP and PNG with their transparency."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        white = Image.new("RGBA", picture.size, "white")
        Image.alpha_composite(white, picture).convert("RGB").save(path, quality=85, optimize=True)
    elif path.suffix == ".webp":
        picture.save(path, quality=85, method=6)
    else:
        picture.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild the sample pictures.")
    parser.add_argument("stamps", type=Path, help="the unpacked package's folder of stamps")
    parser.add_argument("--output", type=Path, default=SAMPLES, help="default: %(default)s")
    options = parser.parse_args()
    for sample, original in read_table(SAMPLES / "CREDITS.md"):
        with Image.open(options.stamps / original) as stamp:
            save(frame(stamp.convert("RGBA")), options.output / sample)


if __name__ == "__main__":
    main()
