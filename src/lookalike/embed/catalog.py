"""A model's name becomes an embedder."""

from __future__ import annotations

from pathlib import Path

from lookalike.embed.embedder import Engine, ModelEmbedder
from lookalike.embed.presets import DEFAULT_MODEL
from lookalike.errors import UnknownModel
from lookalike.settings import Settings

_PACKAGED = {DEFAULT_MODEL: Path(__file__).parent / "default_model"}


def load_embedder(model: str = DEFAULT_MODEL, *, settings: Settings | None = None) -> ModelEmbedder:
    """The embedder of a model, by name.

    Raises:
        UnknownModel: there is none of that name.
    """
    settings = settings or Settings.from_environment()
    if model not in _PACKAGED:
        raise UnknownModel(model, tuple(_PACKAGED))

    def start_engine(folder: Path) -> Engine:
        # Imported here: OpenVINO takes 0.3 s, and a run that finds nothing new needs no model.
        from lookalike.embed.openvino_engine import OpenVINOEngine  # noqa: PLC0415

        return OpenVINOEngine(folder, precision=settings.precision, streams=settings.workers)

    return ModelEmbedder(_PACKAGED[model], start_engine)
