"""Question and answer with a BioTek EL406 in frames, kept in step; facts/devices.md 4.4b.

A frame names its command, so that the end of an action, which comes unasked, is told from the answer to a question.
After an answer that was missing or damaged everything is read until the line is quiet, and what of it is whole is kept.
"""

from drivers.deadline import Deadline
from drivers.el406_frames import ACK, HEADER_BYTES, NAK, Frame, encoded, frames_in, header, whole
from drivers.wire import Garbled, Silent, Wire
from nextplate.errors import NeedsOperator

_TEST = 0x73
_HINT = "an EL406 answers 06 to a test; is it another device, or does the maker's software talk to it?"
_GREETINGS = 3
_MAX_NOISE = 4096
_DATA_GAP_S = 0.001
"""Between header and data of a frame, which the device needs."""


class Refused(NeedsOperator):
    """The device answered NAK."""


class Link:
    """One EL406 on a wire."""

    def __init__(self, wire: Wire, *, reply_s: float = 1.0) -> None:
        self._wire, self._reply_s = wire, reply_s
        self._is_in_step = True
        self._ordered: set[int] = set()
        self._ended: set[int] = set()

    def connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and test that an EL406 answers; moves nothing.

        Raises:
            NeedsOperator: something else answers.
            Silent: nothing does; the port is closed.
            Gone: there is no port.
        """
        if self._wire.is_open:
            return
        self._wire.open()
        self._is_in_step = True
        for n in range(_GREETINGS):
            try:
                self.order(_TEST, b"", until)
            except Silent:
                if n + 1 == _GREETINGS or until.is_over:
                    self._wire.close()
                    raise
            except (Garbled, Refused) as error:
                if n + 1 == _GREETINGS or until.is_over:
                    self._wire.close()
                    raise NeedsOperator(f"{error}; {_HINT}") from error
            else:
                return

    def ask(self, command: int, data: bytes, until: Deadline) -> bytes:
        """Send a question and return the data of its answer.

        Raises:
            Refused: NAK.
            Silent: no answer in time.
            Garbled: the answer is none of the protocol, or to another question.
            Gone: the port went away.
        """
        answer_by = self._sent(command, data, until)
        while (frame := self._frame(self._wire.read_exact(1, answer_by), answer_by)).command != command:
            self._note(frame)
        self._is_in_step = True
        return frame.data

    def order(self, command: int, data: bytes, until: Deadline) -> None:
        """Send a command, once, and return when the device has acknowledged it.

        Raises:
            Refused: NAK.
            Silent, Garbled, Gone: it may have it or not.
        """
        self._ordered.add(command)
        self._sent(command, data, until)
        self._ended.discard(command)  # what was heard to end before the acknowledgement was another time's
        self._is_in_step = True

    def forget(self, command: int) -> None:
        """Forget that an action was heard to end."""
        self._ended.discard(command)

    def has_ended(self, command: int) -> bool:
        """Say whether an action was heard to end since `forget`."""
        return command in self._ended

    def close(self) -> None:
        """Let go of the port."""
        self._wire.close()

    def _sent(self, command: int, data: bytes, until: Deadline) -> Deadline:
        """Send a frame and read its acknowledgement; return by when the rest of an answer should be there."""
        self._get_in_step(until)
        frame = encoded(Frame(command, data))
        self._is_in_step = False
        self._wire.write(frame[:HEADER_BYTES], until)
        if data:
            until.pause(_DATA_GAP_S)
            self._wire.write(data, until)
        answer_by = until.within(self._reply_s)
        while (first := self._wire.read_exact(1, answer_by)) != bytes([ACK]):
            if first == bytes([NAK]):
                self._is_in_step = True
                raise Refused(f"the EL406 refused command {command:02X} (NAK)")
            self._note(self._frame(first, answer_by))
        return answer_by

    def _frame(self, first: bytes, until: Deadline) -> Frame:
        if first != b"\x01":
            raise Garbled(f"the EL406 sent {first.hex()} where a frame or an acknowledgement should begin")
        start = header(first + self._wire.read_exact(HEADER_BYTES - 1, until))
        return whole(start, self._wire.read_exact(start.n_data, until))

    def _note(self, frame: Frame) -> None:
        """Keep what came unasked.

        Raises:
            Garbled: it is about nothing that was ever ordered.
        """
        if frame.command not in self._ordered:
            raise Garbled(f"the EL406 answers to command {frame.command:02X}, which nobody gave")
        self._ended.add(frame.command)

    def _get_in_step(self, until: Deadline) -> None:
        while self._is_in_step and self._wire.has_input:
            try:
                self._note(self._frame(self._wire.read_exact(1, until), until.within(self._reply_s)))
            except (Garbled, Silent):
                self._is_in_step = False
        if not self._is_in_step:
            self._wait_for_quiet(until)

    def _wait_for_quiet(self, until: Deadline) -> None:
        """Read until nothing comes for a whole reply time: what is later than that is taken for lost."""
        noise = self._wire.flush()
        while len(noise) < _MAX_NOISE:
            try:
                noise += self._wire.read_exact(1, until.within(self._reply_s)) + self._wire.flush()
            except Silent as error:
                if until.is_over:
                    raise
                noise += error.received
                self._wire.flush()
                self._ended |= {frame.command for frame in frames_in(noise)} & self._ordered
                self._is_in_step = True
                return
        raise Garbled(f"the EL406 does not fall silent: {noise[:20].hex(' ')} ...")
