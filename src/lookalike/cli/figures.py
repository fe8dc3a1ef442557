"""What `lookalike evaluate` has measured, as a table or as JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from lookalike.cli.show import Column, print_columns, print_lines
from lookalike.insight.evaluation import Evaluation
from lookalike.insight.quality import Estimate

NAMES = ("model", "dim", "pictures", "images/s", "R@1", "P@10", "mAP", "nDCG@10", "recall@10")


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's evaluation, and the speed of its indexing."""

    evaluation: Evaluation
    images_per_second: float

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The measures of quality, by their names in JSON, in the order of the table."""
        quality = self.evaluation.quality
        return {name: getattr(quality, name) for name in ("r_at_1", "p_at_10", "map", "ndcg_at_10")}


def print_table(measured: Sequence[Measured]) -> None:
    """A row for each model; ± is half of the interval, at a terminal below the figure."""
    between = "\n" if sys.stdout.isatty() else " "
    rows = [
        (
            model.evaluation.model,
            str(model.evaluation.dim),
            str(model.evaluation.pictures),
            f"{model.images_per_second:.0f}",
            *(
                f"{estimate.value:.3f}{between}±{(estimate.high - estimate.low) / 2:.2f}"
                for estimate in model.estimates.values()
            ),
            f"{model.evaluation.recall_at_10:.3f}",
        )
        for model in measured
    ]
    if sys.stdout.isatty():
        name, *numbers = NAMES
        print_columns(
            [Column(name), *(Column(number, justify="right") for number in numbers)], rows
        )
    else:
        print_lines([NAMES, *rows])


def as_json(folder: str, measured: Sequence[Measured]) -> str:
    """All figures as one JSON object."""
    first = measured[0].evaluation
    return json.dumps({
        "folder": folder,
        "pictures": first.pictures,
        "classes": first.classes,
        "left_out": first.quality.left_out,
        "models": [
            {
                "model": model.evaluation.model,
                "dim": model.evaluation.dim,
                "images_per_second": round(model.images_per_second, 1),
                **{
                    name: {part: round(x, 4) for part, x in dataclasses.asdict(estimate).items()}
                    for name, estimate in model.estimates.items()
                },
                "recall_at_10": round(model.evaluation.recall_at_10, 4),
            }
            for model in measured
        ],
    })  # fmt: skip
