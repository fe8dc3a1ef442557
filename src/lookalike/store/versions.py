"""Which collection is behind a name: the one called so, or another that has taken its place.

A collection cannot be replaced by another of its name in one step, and an alias of Milvus cannot
have the name of a collection. So the property ``lookalike.now`` of a collection says which other
one has its rows now: one write, which nobody can see half done. Where the name is an alias, that is
pointed at the other collection instead. Either way who has opened an index stays with the
collection that was behind the name then, and with its model.

``lookalike.before`` of a collection is the one whose place it has taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

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
        properties = self._ask("describe_collection", self.current)["properties"]
        found = properties.get(BEFORE) or None
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

    def drop_before(self) -> str | None:
        """Do away with the collection `before`, and return its name; what is gone is gone.

        The one that has the name itself stays, for it says where the rows are: only its rows go,
        which is up to the caller.
        """
        found = self.before
        if found == self.name:
            self._set(self.current, BEFORE, "")
        elif found:
            # In this order, or a kill in between would leave a collection that nobody knows of.
            self._ask("drop_collection", found)
            self._set(self.current, BEFORE, "")
        return found

    def _is_alias(self) -> bool:
        return bool(self._ask("describe_collection", self.name)["collection_name"] != self.name)

    def _set(self, collection: str, key: str, value: str) -> None:
        # An empty one is none: servers 2.3 cannot take properties away.
        self._ask("alter_collection_properties", collection, {key: value})
