"""Question and answer in lines, kept in step: an answer that comes late is never taken for that of the next question.

Most serial protocols answer ``1`` or ``OK`` and do not say to what. When an answer was missed, or something came that
nobody asked for, every later answer could be the one before. Then the dialogue throws away what came, asks a question
whose answer looks like no other (a *barrier*), and reads until that answer is there: all that came before was old.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from drivers.deadline import Deadline
from drivers.wire import Garbled, Silent, Wire
from drivers.wire_log import printable
from nextplate.errors import NeedsOperator

_MAX_OLD_LINES = 64
_GREETINGS = 3


@dataclass(frozen=True, slots=True)
class Barrier:
    """A question that moves nothing, and what alone can be its answer."""

    question: str
    answer: re.Pattern[str]


class Dialogue:
    """Asks over a wire, one question at a time."""

    def __init__(
        self, wire: Wire, *, ends: tuple[bytes, bytes], reply_s: float, barriers: Sequence[Barrier] = ()
    ) -> None:
        self.wire = wire
        self._ask_end, self._reply_end = ends
        self._reply_s, self._barriers = reply_s, barriers
        self._unanswered: set[str] = set()

    def greet(self, hint: str, until: Deadline) -> None:
        """Ask the first barrier, as on a port just opened, to see that this device speaks the protocol.

        Raises:
            NeedsOperator: it answers in lines of another protocol; ends with ``hint``.
            Silent: no answer; the port is closed, to be opened afresh.
            Gone: the port went away.
        """
        barrier, heard = self._barriers[0], list[str]()
        for _ in range(_GREETINGS):
            self._unanswered.add("")
            try:
                heard += self._answers_to(barrier, until)
            except Silent as error:
                silence = error
                continue
            if barrier.answer.fullmatch(heard[-1]):
                self._unanswered.clear()
                return
        if heard:
            asked, said = barrier.question, heard[-1]
            raise NeedsOperator(f"{self.wire.port} answers {said[:60]!a} to {asked!r}; {hint}")
        self.wire.close()  # a socket may be dead without knowing it; the next one is a new one
        raise silence

    def _answers_to(self, barrier: Barrier, until: Deadline) -> list[str]:
        """Ask, and read lines up to the answer or the end of the reply time; at least one."""
        self.wire.flush()
        self.wire.write(barrier.question.encode("ascii") + self._ask_end, until)
        lines, answer_by = list[str](), until.within(self._reply_s)
        while len(lines) < _MAX_OLD_LINES and not (lines and barrier.answer.fullmatch(lines[-1])):
            try:
                lines.append(self.wire.read_line(self._reply_end, answer_by).decode("ascii", "replace"))
            except Silent:
                if not lines:
                    raise
                break
        return lines

    def ask(self, question: str, until: Deadline) -> str:
        """Send a line and return the line that answers it.

        Raises:
            Silent: no answer in time; whether the device got the question is not known.
            Garbled: the answer is not ASCII, or the line is full of noise.
            Gone: the port went away.
        """
        if self.wire.has_input:
            self._unanswered.add("")
        if self._unanswered:
            self._get_in_step(until)
        return self._asked(question, until)

    def _asked(self, question: str, until: Deadline) -> str:
        self._unanswered.add(question)
        self.wire.write(question.encode("ascii") + self._ask_end, until)
        line = self.wire.read_line(self._reply_end, until.within(self._reply_s))
        if not (line.isascii() and all(b >= 0x20 for b in line)):
            raise Garbled(f"{self.wire.port} answered {question!r} with noise: {printable(line[:60])}")
        self._unanswered.discard(question)
        return line.decode("ascii")

    def _get_in_step(self, until: Deadline) -> None:
        """Ask a barrier that is not among the unanswered, and read past everything older than its answer."""
        barrier = next((b for b in self._barriers if b.question not in self._unanswered), None)
        if barrier is None:
            self._wait_for_quiet(until)
            return
        self._unanswered.add(barrier.question)
        if not barrier.answer.fullmatch(self._answers_to(barrier, until)[-1]):
            raise Garbled(
                f"{self.wire.port} sends lines that nobody asked for, and does not answer {barrier.question!r}"
            )
        self._unanswered.clear()

    def _wait_for_quiet(self, until: Deadline) -> None:
        """Where no barrier is left: what is late by more than a whole reply time is taken for lost."""
        for _ in range(_MAX_OLD_LINES):
            self.wire.flush()
            with suppress(Silent):
                self.wire.read_exact(1, until.within(self._reply_s))
                continue
            if until.is_over:
                raise Silent(f"{self.wire.port} did not fall silent in time")
            self.wire.flush()
            self._unanswered.clear()
            return
        raise Garbled(f"{self.wire.port} does not fall silent")
