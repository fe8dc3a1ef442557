"""Does the memory that indexing needs grow with the number of pictures?

The peak physical memory of ``lookalike index`` of a folder into an empty index, once with few and
once with many pictures: the folder's pictures under many names, as hard links. The figure is that
of the whole process, the model and all libraries included.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from measure import (
    SAMPLES,
    arguments,
    in_fresh_process,
    multiply,
    pictures_in,
    publish,
)


@dataclass(frozen=True)
class Run:
    """What one process measured."""

    pictures: int
    peak_mb: float
    seconds: float


def index_folder(folder: Path, pictures: int) -> Run:
    with tempfile.TemporaryDirectory() as temporary:
        database = Path(temporary) / "lookalike.db"
        command = [sys.executable, "-m", "lookalike", "index", str(folder), "--db", str(database)]
        done = subprocess.run(
            [*command, "--format", "json"], check=True, capture_output=True, text=True
        )
    report = json.loads(done.stdout)
    if report["added"] != pictures:
        raise SystemExit(f"Only {report['added']} of {pictures} pictures could be used.")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return Run(pictures, peak * 1024 / 1e6, report["seconds"])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=SAMPLES, help="else the samples")
    parser.add_argument("--small", type=int, default=2_000, help="pictures (default 2,000)")
    parser.add_argument("--large", type=int, default=20_000, help="pictures (default 20,000)")
    args = parser.parse_args()

    pictures = pictures_in(args.folder)
    runs = []
    for count in (args.small, args.large):
        with tempfile.TemporaryDirectory() as folder:
            multiply(pictures, count, into=Path(folder))
            runs.append(in_fresh_process(index_folder, Path(folder), count))

    small, large = runs
    grown_mb = large.peak_mb - small.peak_mb
    publish(
        "Peak memory of indexing",
        [
            ("", "small", "large", "difference"),
            ("pictures", *(f"{run.pictures:,}" for run in runs), ""),
            ("peak memory, MB", *(f"{run.peak_mb:.0f}" for run in runs), f"{grown_mb:+.0f}"),
            ("images/s", *(f"{run.pictures / run.seconds:.1f}" for run in runs), ""),
        ],
        figures={"runs": [asdict(run) for run in runs], "difference_mb": grown_mb},
        json_file=args.json,
    )


if __name__ == "__main__":
    main()
