"""Errors about models."""

from __future__ import annotations

import shlex

from lookalike.errors.base import LookalikeError


class ModelError(LookalikeError):
    """A model cannot be used."""


class UnknownModel(ModelError):
    """There is no model of this name; `nearest` are the names most like it."""

    def __init__(self, name: str, nearest: tuple[str, ...]) -> None:
        self.name, self.nearest = name, nearest
        meant = f"Did you mean {', '.join(nearest)}? " if nearest else ""
        super().__init__(
            f"There is no model {name!r}. {meant}See: lookalike models, or lookalike models "
            "--search TEXT."
        )


class ModelUnusable(ModelError):
    """A model's files are missing or damaged, or this machine cannot run them."""


class DeviceUnavailable(ModelError):
    """A device to run the model on is not there."""

    def __init__(self, name: str, available: tuple[str, ...]) -> None:
        self.name, self.available = name, available
        super().__init__(
            f"There is no device {name!r} that PyTorch can use here; choose with --device from: "
            f"auto, {', '.join(available)}."
        )


class ModelMismatch(ModelError):
    """The index holds embeddings of another model; scores between the two mean nothing."""

    def __init__(
        self,
        *,
        database: str,
        indexed: tuple[str, str],
        requested: tuple[str, str],
        weights: str | None = None,
        precision: str = "auto",
        export: str | None = None,
        otherwise: str = "import it into another database with --db",
    ) -> None:
        self.database, self.indexed, self.requested = database, indexed, requested
        self.weights, self.precision, self.export = weights, precision, export
        if export is not None:
            super().__init__(
                f"{export} holds embeddings of the model {requested[0]} ({requested[1][:8]}), but "
                f"{database} was made with {indexed[0]} ({indexed[1][:8]}), and the two cannot be "
                f"compared. Nothing was changed; {otherwise}."
            )
            return
        options = f" --weights {shlex.quote(weights)}" if weights else ""
        if precision != "auto":
            options += f" --precision {precision}"
        super().__init__(
            f"{database} was made with the model {indexed[0]} ({indexed[1][:8]}), but "
            f"{requested[0]} ({requested[1][:8]}) is asked for, and their embeddings cannot be "
            "compared. Leave --model out to go on with the first, or index again for the second: "
            f"lookalike index FOLDER --db OTHER.db --model {shlex.quote(requested[0])}{options}"
        )


class ExtraBroken(ModelError):
    """An optional part is installed, but fails to import; `reason` is what it says itself."""

    def __init__(self, what: str, *, extra: str, packages: str, reason: str) -> None:
        self.what, self.extra, self.reason = what, extra, reason
        super().__init__(
            f"{what} needs {extra}, which is installed but does not load ({reason}). Install what "
            f"belongs together again: pip install --force-reinstall {packages}"
        )
