"""Who has a station or the arm when, while a rough plan is made."""

from bisect import bisect_left, insort

from nextplate.schedule.work import Span


class Calendar:
    """Spans that are taken; at most ``capacity`` of them at a time."""

    def __init__(self, capacity: int = 1, closed: tuple[Span, ...] = ()) -> None:
        self._capacity = capacity
        self._taken: list[Span] = []
        self._closed = sorted(closed)

    def take(self, span: Span) -> None:
        """Take a span."""
        insort(self._taken, span)

    def release(self, span: Span) -> None:
        """Give a span back that was taken."""
        self._taken.remove(span)

    def next_free(self, span: Span) -> int:
        """Return by how much a span has to come later until it may be free; 0: it is."""
        start, end = span
        overlapping = [taken for taken in self._taken[: bisect_left(self._taken, (end, end))] if taken[1] > start]
        late_s = max((stop - start for begin, stop in self._closed if begin < end and stop > start), default=0)
        if len(overlapping) >= self._capacity and self._is_full(start, end, overlapping):
            late_s = max(late_s, min(stop for _, stop in overlapping) - start)
        return late_s

    def _is_full(self, start: int, end: int, overlapping: list[Span]) -> bool:
        moments = [start, *(begin for begin, _ in overlapping if start < begin < end)]
        return any(sum(a <= moment < b for a, b in overlapping) >= self._capacity for moment in moments)
