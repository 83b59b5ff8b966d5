"""Fold a whole journal, however long."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from controller.state import LabState, fold

if TYPE_CHECKING:
    from controller.store.store import Store


def fold_journal(store: "Store") -> LabState:
    """Return the state that the whole journal implies.

    No snapshot is kept of it: a state holds what every intent and outcome said, so reading one back would cost as much
    as the fold.
    """
    with collector_paused():
        return fold(store.events())


@contextmanager
def collector_paused() -> Iterator[None]:
    """Let the garbage collector rest while very many objects are made that all stay.

    It would walk through them again and again, and takes more than half of the time for a million events. Nothing is
    kept for good by it: what is not in a cycle is freed as ever.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
