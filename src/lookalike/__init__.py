"""Image similarity search: index folders of pictures once, then find what looks alike."""

from lookalike.embed.catalog import load_embedder
from lookalike.errors import (
    ExtraMissing,
    IndexIncompatible,
    IndexLocked,
    IndexNotFound,
    IndexNotWritable,
    InvalidSetting,
    LookalikeError,
    ModelError,
    ModelMismatch,
    ModelUnusable,
    PictureDamaged,
    PictureError,
    PictureUnreadable,
    SourceNotFound,
    StorageFull,
    StoreError,
    UnknownModel,
)
from lookalike.index import Index
from lookalike.records import Hit, IndexInfo, IndexReport, Progress, Skipped
from lookalike.settings import Settings

__all__ = [
    "ExtraMissing",
    "Hit",
    "Index",
    "IndexIncompatible",
    "IndexInfo",
    "IndexLocked",
    "IndexNotFound",
    "IndexNotWritable",
    "IndexReport",
    "InvalidSetting",
    "LookalikeError",
    "ModelError",
    "ModelMismatch",
    "ModelUnusable",
    "PictureDamaged",
    "PictureError",
    "PictureUnreadable",
    "Progress",
    "Settings",
    "Skipped",
    "SourceNotFound",
    "StorageFull",
    "StoreError",
    "UnknownModel",
    "load_embedder",
]

__version__ = "0.1.0"
