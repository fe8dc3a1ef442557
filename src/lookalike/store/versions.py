"""Which collection is behind a name: the one called so, or another that has taken its place.

A collection cannot be replaced by another of its name in one step, and an alias of Milvus cannot
have the name of a collection. So the property ``lookalike.now`` of a collection says which other
one has its rows now: one write, which nobody can see half done. Where the name is an alias, that is
pointed at the other collection instead. Either way who has opened an index stays with the
collection that was behind the name then, and with its model.

``lookalike.before`` of a collection is the one whose place it has taken. Those that are made for a
name are called as it, with the beginning of their model's fingerprint, so that they can be found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from lookalike.store.schema import CollectionModel

NOW = "lookalike.now"
BEFORE = "lookalike.before"

Ask = Callable[..., Any]
"""`Database.ask`."""


def moved_to(properties: Mapping[str, str]) -> str | None:
    """The collection that has the rows now, where it is another one."""
    return properties.get(NOW) or None


def behind(described: Mapping[str, Any]) -> str:
    """The collection that has the rows of one that Milvus has described."""
    return moved_to(described["properties"]) or str(described["collection_name"])


def beside(name: str, model: CollectionModel) -> str:
    """What the collection for another model is called."""
    return f"{name}__{model.fingerprint[:8]}"


class Versions:
    """The collections that are, were or shall be behind a name."""

    def __init__(self, ask: Ask, name: str) -> None:
        self._ask, self.name = ask, name

    @property
    def current(self) -> str:
        """The collection that is behind the name."""
        return behind(self._ask("describe_collection", self.name))

    @property
    def before(self) -> str | None:
        """The collection whose place the current one has taken, if it still has its rows."""
        found = self._properties(self.current).get(BEFORE) or None
        return found if found and self._ask("has_collection", found) else None

    def use(self, collection: str) -> None:
        """Put another collection behind the name, in one step; what is there now is `before`."""
        current = self.current
        if current == collection:
            return
        self._set(collection, BEFORE, current)
        if self._is_alias():
            self._ask("alter_alias", collection, self.name)
        else:
            self._set(self.name, NOW, "" if collection == self.name else collection)

    @property
    def first(self) -> str | None:
        """The collection that has the name itself, where another has taken its place.

        It cannot be dropped, for it says where the rows are.
        """
        return None if self._is_alias() or self.current == self.name else self.name

    def drop_others(self) -> list[str]:
        """Drop all collections that were made for the name and are not in use, but for `first`.

        Returns:
            Their names.
        """
        current = self.current
        gone = [name for name in self._others(current) if name not in {current, self.name}]
        for name in gone:
            self._ask("drop_collection", name)
        return gone

    def forget_before(self) -> None:
        """Let there be no way back."""
        current = self.current
        if self._properties(current).get(BEFORE):
            self._set(current, BEFORE, "")

    def _others(self, current: str) -> Iterable[str]:
        """One that is known from another alone comes before that: a kill may come in between."""
        chain: list[str] = []
        found: str | None = current
        while found and found not in chain and self._ask("has_collection", found):
            chain.append(found)
            found = self._properties(found).get(BEFORE)
        return dict.fromkeys([*reversed(chain), *self._made()])

    def _made(self) -> Iterator[str]:
        for name in sorted(self._ask("list_collections")):
            if name.startswith(f"{self.name}__"):
                model = CollectionModel.from_properties(self._properties(name))
                if model and name == beside(self.name, model):
                    yield name

    def _properties(self, collection: str) -> Mapping[str, str]:
        found: Mapping[str, str] = self._ask("describe_collection", collection)["properties"]
        return found

    def _is_alias(self) -> bool:
        return bool(self._ask("describe_collection", self.name)["collection_name"] != self.name)

    def _set(self, collection: str, key: str, value: str) -> None:
        # An empty one is none: servers 2.3 cannot take properties away.
        self._ask("alter_collection_properties", collection, {key: value})
