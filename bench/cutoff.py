"""Does ``--auto`` find where the hits end, better than any fixed least score does?

A folder of labelled pictures: its subfolders are the labels. Each picture asks for the others, and
of its 50 best hits those are right that have its label; a cut-off is measured by F1. The fixed
least score is the best one for just these pictures and this figure, so it knows the answers.
``--auto`` knows nothing but the collection; its sample leaves out the picture that asks. Macro: the
mean of the questions' F1; micro: F1 of all hits together. "Nothing": how many questions find none,
and how many do where all pictures of their label are left out, so that nothing is right.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from measure import arguments, pictures_in, publish

from lookalike import load_embedder
from lookalike.query.cutoff import BEST_HITS, least_cosine
from lookalike.store.sampling import SAMPLE_ROWS, Background

HITS = 50
FIXED = np.linspace(-0.2, 1.0, 241)

Floats = npt.NDArray[np.floating]


def f1(kept: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_], all_right: Floats) -> Floats:
    """Macro and micro F1 of (n, 50) hits, of which some are kept and some are right."""
    true = (kept & right).sum(axis=1)
    doubled, sizes = 2.0 * true, kept.sum(axis=1) + all_right
    return np.array([np.mean(doubled / sizes), doubled.sum() / sizes.sum()])


def bound(vectors: Floats, asked: np.intp, others: npt.NDArray[np.intp]) -> float:
    """The least cosine that stands out among these others, a sample of which is the background."""
    chance = np.random.default_rng(int(asked))
    sample = chance.permutation(others)[:SAMPLE_ROWS]
    scores = np.sort(vectors[others] @ vectors[asked])[::-1]
    background = Background(vectors[sample].astype(np.float32), len(others))
    return least_cosine(vectors[asked].astype(np.float32), scores[:BEST_HITS].tolist(), background)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path, help="subfolders are labels")
    args = parser.parse_args()
    files = pictures_in(args.folder)
    labels = np.array([file.parent.relative_to(args.folder).as_posix() for file in files])
    vectors = load_embedder().embed_files(files)

    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    order = np.argsort(-scores, axis=1)[:, :HITS]
    hits = np.take_along_axis(scores, order, axis=1)
    right = labels[order] == labels[:, np.newaxis]
    all_right = (labels[:, np.newaxis] == labels).sum(axis=1) - 1.0

    fixed = np.array([f1(hits >= least, right, all_right) for least in FIXED])
    everyone = np.arange(len(files))
    bounds = np.array([bound(vectors, one, everyone[everyone != one]) for one in everyone])
    auto = f1(hits >= bounds[:, np.newaxis], right, all_right)
    nothing = np.mean(hits[:, 0] < bounds)
    alone = []
    for one in everyone:
        others = everyone[labels != labels[one]]
        alone.append(np.max(vectors[others] @ vectors[one]) < bound(vectors, one, others))

    best = fixed.argmax(axis=0)
    publish(
        f"F1 of cut-offs, {len(files):,} pictures with {len(set(labels))} labels, 50 best hits",
        [
            ("", "macro", "micro"),
            ("the best fixed least score", *(f"{value:.4f}" for value in fixed.max(axis=0))),
            ("… which is", *(f"{FIXED[position]:.3f}" for position in best)),
            ("--auto", *(f"{value:.4f}" for value in auto)),
            ("questions that find nothing", f"{nothing:.1%}", ""),
            ("… with their label left out", f"{np.mean(alone):.1%}", ""),
        ],
        figures={
            "pictures": len(files),
            "fixed": fixed.max(axis=0).tolist(),
            "fixed_least_scores": FIXED[best].tolist(),
            "auto": auto.tolist(),
            "nothing": float(nothing),
            "nothing_without_label": float(np.mean(alone)),
        },
        json_file=args.json,
    )


if __name__ == "__main__":
    main()
