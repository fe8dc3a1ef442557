"""Everything that can go wrong, as one tree.

LookalikeError
├── InvalidSetting            an environment variable or option with an impossible value
├── InvalidQuestion           a question or filter that makes no sense, or not for this index
├── LabelsUnusable            labels that nothing can be measured with
├── AddressUnusable           an address that a server cannot listen at
├── TokenUnsafe               a server for others without a token, or with one that can be guessed
├── ExtraMissing              it needs an optional part of lookalike
├── PathUnusable              what is at a path or an address: one of these
│   ├── SourceNotFound        a folder or file to index that is not there
│   ├── ExportUnusable        a file to import that is no export, or a damaged one
│   ├── InvalidMetadata       fields of the user's own that cannot be stored, or a bad file of them
│   ├── UndoFileUnusable      the record of what was done with files cannot be written or read
│   ├── DownloadFailed        the sample pictures could not be fetched or unpacked
│   ├── WatchFailed           folders whose changes the system does not tell
│   └── PictureError          one picture; indexing skips it, a search cannot go on
│       ├── PictureUnreadable its bytes could not be had
│       └── PictureDamaged    its bytes are no picture, or a broken one
│           └── PictureTooLarge   it has more pixels than are decoded
├── ModelError
│   ├── UnknownModel          no such model here
│   ├── ModelUnusable         the model's files are missing or damaged
│   ├── ModelMismatch         the index was made with another model
│   ├── DeviceUnavailable     there is no such device to run it on
│   └── ExtraBroken           its optional part is installed, but does not load
├── ClusterError              machines that share the work
│   ├── ClusterUnreachable    no Ray cluster answers at an address
│   ├── ClusterLost           a Ray cluster has failed while it worked
│   └── WorkerFailed          one of its workers cannot go on, for a reason of this tree
└── StoreError                the database
    ├── IndexNotFound         there is none, or it has no such collection
    ├── IndexLocked           another process has it open
    ├── IndexServed           a server has it open, which cannot be gone through
    ├── OwnerLost             the server that has it open has stopped
    ├── IndexIncompatible     a file of another kind or version
    ├── MetricMismatch        the index was made with another metric
    ├── IndexNotWritable      its folder cannot be written
    ├── StorageFull           the disk is full
    ├── ServerUnreachable     nothing answers at a server's address
    ├── ServerLost            a server has stopped to answer
    ├── CopyIncomplete        the target of a copy lacks rows
    ├── CopyDiffers           a row in it is not as it was in the source
    ├── NothingBefore         nothing is kept that an index was before
    ├── TokenRefused          a server does not accept who asks, or not for this
    ├── DesignUnavailable     it cannot keep a collection in the way that is asked for
    ├── DesignMismatch        the collection is kept in another way
    ├── TenantMismatch        whose rows are meant was not said, or there are no tenants
    ├── TenantsShareIt        the collection of several tenants cannot get another model
    ├── ServerFull            a server has no room for more
    └── ServerReadOnly        a server was told to refuse
"""

from __future__ import annotations

from lookalike.errors.base import (
    LookalikeError,
    PathUnusable,
    reason_of,
)
from lookalike.errors.cluster import (
    ClusterError,
    ClusterLost,
    ClusterUnreachable,
    WorkerFailed,
)
from lookalike.errors.general import (
    AddressUnusable,
    DownloadFailed,
    ExportUnusable,
    ExtraMissing,
    InvalidMetadata,
    InvalidQuestion,
    InvalidSetting,
    LabelsUnusable,
    PictureDamaged,
    PictureError,
    PictureTooLarge,
    PictureUnreadable,
    SourceNotFound,
    TokenUnsafe,
    UndoFileUnusable,
    WatchFailed,
)
from lookalike.errors.model import (
    DeviceUnavailable,
    ExtraBroken,
    ModelError,
    ModelMismatch,
    ModelUnusable,
    UnknownModel,
)
from lookalike.errors.store import (
    CopyDiffers,
    CopyIncomplete,
    DesignMismatch,
    DesignUnavailable,
    IndexIncompatible,
    IndexLocked,
    IndexNotFound,
    IndexNotWritable,
    IndexServed,
    MetricMismatch,
    NothingBefore,
    OwnerLost,
    ServerFull,
    ServerLost,
    ServerReadOnly,
    ServerUnreachable,
    StorageFull,
    StoreError,
    TenantMismatch,
    TenantsShareIt,
    TokenRefused,
)

__all__ = [
    "AddressUnusable",
    "ClusterError",
    "ClusterLost",
    "ClusterUnreachable",
    "CopyDiffers",
    "CopyIncomplete",
    "DesignMismatch",
    "DesignUnavailable",
    "DeviceUnavailable",
    "DownloadFailed",
    "ExportUnusable",
    "ExtraBroken",
    "ExtraMissing",
    "IndexIncompatible",
    "IndexLocked",
    "IndexNotFound",
    "IndexNotWritable",
    "IndexServed",
    "InvalidMetadata",
    "InvalidQuestion",
    "InvalidSetting",
    "LabelsUnusable",
    "LookalikeError",
    "MetricMismatch",
    "ModelError",
    "ModelMismatch",
    "ModelUnusable",
    "NothingBefore",
    "OwnerLost",
    "PathUnusable",
    "PictureDamaged",
    "PictureError",
    "PictureTooLarge",
    "PictureUnreadable",
    "ServerFull",
    "ServerLost",
    "ServerReadOnly",
    "ServerUnreachable",
    "SourceNotFound",
    "StorageFull",
    "StoreError",
    "TenantMismatch",
    "TenantsShareIt",
    "TokenRefused",
    "TokenUnsafe",
    "UndoFileUnusable",
    "UnknownModel",
    "WatchFailed",
    "WorkerFailed",
    "reason_of",
]
