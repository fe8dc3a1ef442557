"""How a collection is kept: its index, its vectors, its tenants.

An index type is chosen by intent, the profile:

- ``small``: FLAT, which compares with every vector. Exact.
- ``balanced``: HNSW, a graph over whole vectors: fast, and all of it in memory.
- ``compact``: vectors in a fraction of their size. The best that the server has of IVF_RABITQ
  (1 bit for each number, the best again by 8; Milvus 2.6), HNSW_SQ (8 bits, in a graph; 2.5) and
  IVF_SQ8 (8 bits, in lists).
- ``disk``: DISKANN, a graph on fast disks.
- ``gpu``: GPU_CAGRA, a graph on a GPU.

Milvus Lite is searched exactly by lookalike itself, so it has only ``small``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lookalike.errors import InvalidSetting

PROFILES = ("small", "balanced", "compact", "disk", "gpu")
VECTORS = ("float32", "float16")
CONSISTENCIES = ("session", "strong", "bounded", "eventually")
TENANT_BYTES = 64

PROPERTY = "lookalike.design"
LITE_IS_EXACT = (
    "is a Milvus Lite database, whose vectors are all in memory and compared one by one: profiles, "
    "index types, float16, tenants, replicas and mmap need a Milvus server (--db http://HOST:PORT)."
)
_EXACT = "FLAT"

_BY_PROFILE = {
    "balanced": ("HNSW",),
    "compact": ("IVF_RABITQ", "HNSW_SQ", "IVF_SQ8"),
    "disk": ("DISKANN",),
    "gpu": ("GPU_CAGRA",),
}
# hnswlib's own example values; Malkov and Yashunin (2018) name 5 … 48 links as reasonable.
_GRAPH = {"M": 16, "efConstruction": 200}
# Milvus seals a segment of 512 MB (2.3) or more, and builds one index for each. FAISS's guide
# recommends from 4·√n to 16·√n lists for n vectors, and Milvus 4·√n; with fewer than 39 vectors
# for each list both of them take fewer lists.
_SEGMENT_BYTES = 512 * 2**20


def _lists(dim: int) -> int:
    """Lists for a full segment, as a power of two: 2,048 for 384 numbers."""
    return int(2 ** round(math.log2(4 * math.sqrt(_SEGMENT_BYTES / (4 * dim)))))


@dataclass(frozen=True, kw_only=True)
class CollectionDesign:
    """How a collection is kept; the default is exact search in whole vectors, for one owner.

    Attributes:
        profile: one of `PROFILES`, or ``explicit`` where an index type was named.
        index_type: Milvus's name for it; empty as long as the server has not chosen one.
        index_params: as Milvus takes them.
        vectors: ``float32`` or ``float16``, as they are stored; in Python they are float32.
        tenants: whether the rows belong to several tenants, each of whom sees only its own.
        placed: whether the server puts each tenant's rows where it looks for them; before 2.3.10
            Milvus's upsert does not.
        replicas: copies in the memory of query nodes.
        mmap: whether the server maps files into memory in place of reading them.
        consistency: what searches wait for; one of `CONSISTENCIES`. See `ServerDatabase`.
        said: which of these were named, and must be so in a collection that is there already.
    """

    profile: str = "small"
    index_type: str = _EXACT
    index_params: Mapping[str, Any] = field(default_factory=dict)
    vectors: str = "float32"
    tenants: bool = False
    placed: bool = False
    replicas: int = 1
    mmap: bool = False
    consistency: str = "session"
    said: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(
        cls,
        profile: str | None = None,
        *,
        index_type: str | None = None,
        index_params: str | Mapping[str, Any] | None = None,
        vectors: str | None = None,
        replicas: int | None = None,
        mmap: bool | None = None,
        consistency: str | None = None,
    ) -> CollectionDesign:
        """What was asked for; what was not named is as it is by default.

        Args:
            profile: one of `PROFILES`.
            index_type: Milvus's name of an index type, instead of a profile.
            index_params: its parameters, as a mapping or as JSON.
            vectors: one of `VECTORS`.
            replicas: copies in the memory of query nodes, 1 or more.
            mmap: map files into memory.
            consistency: one of `CONSISTENCIES`.

        Raises:
            InvalidSetting: one of these has an impossible value.
        """
        _one_of("profile", profile, PROFILES)
        _one_of("vectors", vectors, VECTORS)
        _one_of("consistency", consistency, CONSISTENCIES)
        if profile and index_type:
            raise InvalidSetting(
                "index-type", index_type, "given instead of --profile, not with it"
            )
        if index_params is not None and not index_type:
            raise InvalidSetting(
                "index-params", str(index_params), "given together with --index-type"
            )
        if replicas is not None and replicas < 1:
            raise InvalidSetting("replicas", replicas, "a whole number from 1 up")
        kind = index_type.upper() if index_type else ""
        if kind and not re.fullmatch(r"[A-Z0-9_]+", kind):
            raise InvalidSetting("index-type", index_type, "a name like HNSW")
        chosen = profile or ("explicit" if kind and kind != _EXACT else "small")
        named = {
            "profile": profile or index_type,
            "vectors": vectors,
            "replicas": replicas,
            "mmap": mmap,
            "consistency": consistency,
        }
        return cls(
            profile=chosen,
            index_type=_EXACT if chosen == "small" else kind,
            index_params=_parameters(index_params),
            vectors=vectors or "float32",
            replicas=replicas or 1,
            mmap=bool(mmap),
            consistency=consistency or "session",
            said=tuple(name for name, value in named.items() if value),
        )

    @property
    def exact(self) -> bool:
        """Whether every vector is compared with."""
        return self.index_type == _EXACT

    @property
    def plain(self) -> bool:
        """Whether Milvus Lite can keep a collection like this."""
        return replace(self, consistency="session") == CollectionDesign()

    def candidates(self, dim: int) -> list[tuple[str, dict[str, Any]]]:
        """Index types with their parameters, the first of which that the server has is taken."""
        lists = {"nlist": _lists(dim)}
        usual: dict[str, dict[str, Any]] = {
            "HNSW": dict(_GRAPH),
            "HNSW_SQ": {**_GRAPH, "sq_type": "SQ8"},
            "IVF_FLAT": lists,
            "IVF_SQ8": lists,
            "IVF_RABITQ": {**lists, "refine": True, "refine_type": "SQ8"},
            # NVIDIA's defaults for CAGRA.
            "GPU_CAGRA": {"intermediate_graph_degree": 128, "graph_degree": 64},
        }
        if self.index_type:
            return [(self.index_type, {**usual.get(self.index_type, {}), **self.index_params})]
        return [(kind, usual.get(kind, {})) for kind in _BY_PROFILE[self.profile]]

    def to_properties(self) -> dict[str, str]:
        """As Milvus keeps it; nothing for the default."""
        if self == CollectionDesign():
            return {}
        kept = {name: value for name, value in asdict(self).items() if name != "said"}
        return {PROPERTY: json.dumps(kept, sort_keys=True)}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> CollectionDesign:
        """What a collection was made with; what another version wrote beyond that is left out."""
        try:
            said = json.loads(properties.get(PROPERTY, "{}"))
            return cls(**{name: said[name] for name in cls.__dataclass_fields__ if name in said})
        except (ValueError, TypeError):
            return cls()

    def differs(self, kept: CollectionDesign) -> tuple[str, str, str] | None:
        """The first thing said that is not so: its name, as it is `kept` and as asked."""
        for name in self.said:
            if getattr(self, name) != getattr(kept, name):
                return f"--{name}", str(getattr(kept, name)), str(getattr(self, name))
        if self.profile != "explicit" or "profile" not in self.said:
            return None
        if kept.index_type != self.index_type:
            return "--index-type", kept.index_type, self.index_type
        params = {name: kept.index_params.get(name) for name in self.index_params}
        if params != self.index_params:
            return "--index-params", json.dumps(params), json.dumps(dict(self.index_params))
        return None


def known_tenant(tenant: str | None) -> str | None:
    """The name of a tenant, if it can be one.

    Raises:
        InvalidSetting: it cannot.
    """
    if tenant is not None and not re.fullmatch(
        rf"[A-Za-z0-9][\w.@-]{{0,{TENANT_BYTES - 1}}}", tenant, re.A
    ):
        raise InvalidSetting(
            "tenant",
            tenant,
            f"up to {TENANT_BYTES} letters, digits and _ . @ -, a letter or digit first",
        )
    return tenant


def _one_of(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise InvalidSetting(name, value, f"{', '.join(known[:-1])} or {known[-1]}")


def _parameters(said: str | Mapping[str, Any] | None) -> dict[str, Any]:
    read: object = said or {}
    if isinstance(said, str):
        try:
            read = json.loads(said)
        except ValueError:
            read = None
    if not isinstance(read, Mapping):
        raise InvalidSetting("index-params", str(said), 'a JSON object like {"M": 16}')
    return dict(read)
