"""Image similarity search: index folders of pictures once, then find what looks alike."""

from lookalike.embed.catalog import load_embedder
from lookalike.errors import (
    DeviceUnavailable,
    DownloadFailed,
    ExtraMissing,
    IndexIncompatible,
    IndexLocked,
    IndexNotFound,
    IndexNotWritable,
    InvalidMetadata,
    InvalidSetting,
    LabelsUnusable,
    LookalikeError,
    MetricMismatch,
    ModelError,
    ModelMismatch,
    ModelUnusable,
    PictureDamaged,
    PictureError,
    PictureUnreadable,
    ServerLost,
    ServerUnreachable,
    SourceNotFound,
    StorageFull,
    StoreError,
    TokenRefused,
    UnknownModel,
)
from lookalike.index import Index
from lookalike.insight.evaluation import Evaluation, JudgedHit, JudgedQuery
from lookalike.insight.quality import Estimate, Quality
from lookalike.records import Hit, IndexInfo, IndexReport, Progress, Skipped
from lookalike.settings import Settings

__all__ = [
    "DeviceUnavailable",
    "DownloadFailed",
    "Estimate",
    "Evaluation",
    "ExtraMissing",
    "Hit",
    "Index",
    "IndexIncompatible",
    "IndexInfo",
    "IndexLocked",
    "IndexNotFound",
    "IndexNotWritable",
    "IndexReport",
    "InvalidMetadata",
    "InvalidSetting",
    "JudgedHit",
    "JudgedQuery",
    "LabelsUnusable",
    "LookalikeError",
    "MetricMismatch",
    "ModelError",
    "ModelMismatch",
    "ModelUnusable",
    "PictureDamaged",
    "PictureError",
    "PictureUnreadable",
    "Progress",
    "Quality",
    "ServerLost",
    "ServerUnreachable",
    "Settings",
    "Skipped",
    "SourceNotFound",
    "StorageFull",
    "StoreError",
    "TokenRefused",
    "UnknownModel",
    "load_embedder",
]

__version__ = "0.1.0"
