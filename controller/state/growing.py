"""A mapping that only grows, of which a changed copy costs no more than what was changed.

A journal's intents and outcomes are kept for ever and looked at one by one; copying all of them at every event would
make a lab slower with each year.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from types import MappingProxyType
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")
_FEW = 1000
"""Up to so many entries are copied: that is quicker than looking in two places."""


class Grown(Mapping[K, V]):
    """An older mapping and what was put over it since; iterates in the order in which keys first came."""

    __slots__ = ("_base", "_n", "_top")

    def __init__(self, base: Mapping[K, V], top: dict[K, V]) -> None:
        self._base, self._top = base, top
        self._n = len(base) + sum(key not in base for key in top)

    def __getitem__(self, key: K) -> V:
        """Return the newest value of a key."""
        return self._top[key] if key in self._top else self._base[key]

    def __contains__(self, key: object) -> bool:
        """Tell whether a key was ever put."""
        return key in self._top or key in self._base

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys."""
        return chain(self._base, (key for key in self._top if key not in self._base))

    def __len__(self) -> int:
        """Count the keys."""
        return self._n

    def opened(self) -> "Growing[K, V]":
        """Return a copy that can grow."""
        return Growing(self._base, dict(self._top))


class Growing(Grown[K, V]):
    """A Grown that is being written."""

    __slots__ = ()

    def __setitem__(self, key: K, value: V) -> None:
        """Put a value over what there is."""
        self._n += key not in self
        self._top[key] = value

    def closed(self) -> Grown[K, V]:
        """Return what shall not change any more; much that was put over little is laid into one."""
        if len(self._top) ** 2 > len(self._base):
            return Grown({**self._base, **self._top}, {})
        return Grown(self._base, self._top)


def opened(before: Mapping[K, V]) -> "dict[K, V] | Growing[K, V]":
    """Return a copy of a mapping that can grow."""
    if isinstance(before, Grown):
        return before.opened()
    return dict(before) if len(before) <= _FEW else Growing(before, {})


def closed(draft: "dict[K, V] | Growing[K, V]") -> Mapping[K, V]:
    """Return what shall not change any more."""
    return draft.closed() if isinstance(draft, Growing) else MappingProxyType(draft)


def put(before: Mapping[K, V], key: K, value: V) -> Mapping[K, V]:
    """Return a mapping with one value more, or another one."""
    draft = opened(before)
    draft[key] = value
    return closed(draft)
