"""Rows go into Milvus and come out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from lookalike.store.milvus import MilvusStore
    from lookalike.store.served import ServedStore

    # Not at run time: pymilvus takes 0.5 s, and who goes through a server does without it.
    Store: TypeAlias = MilvusStore | ServedStore
