"""Question and answer with an Inheco in frames, kept in step; facts/devices.md 4.6.

An answer does not say to what. After one was missed, or something came that nobody asked for, the firmware's name is
asked for, which looks like no other answer, and everything before it was old. A unit whose firmware has no such name
is waited for until its line is quiet.
"""

import re
from contextlib import suppress

from drivers.deadline import Deadline
from drivers.inheco_frames import END, MAX_REPLY, Refused, Reply, accepted, decoded, encoded
from drivers.wire import Garbled, LineSettings, Silent, Wire
from nextplate.errors import NeedsOperator

SETTINGS = LineSettings(baudrate=19200)
_FIRMWARE = "RFV0"
_PLAIN = re.compile(r"[+-]?[0-9,.]{0,6}")
"""What other questions may be answered with."""
_GREETINGS = 4
_MAX_OLD = 64


class Link:
    """One unit of a stack on a wire."""

    def __init__(self, wire: Wire, *, dip: int, unit: int, reply_s: float = 1.0) -> None:
        self._wire, self._dip, self._unit, self._reply_s = wire, dip, unit, reply_s
        self._is_in_step = False
        self.firmware = ""
        """Its name; "" until it was heard twice the same."""

    def connect(self, until: Deadline) -> None:
        """Open the port unless it is open, and hear the firmware's name; moves nothing.

        Raises:
            NeedsOperator: what answers is no Inheco with this DIP switch.
            Silent: nothing does; the port is closed, to be opened afresh.
            Gone: there is no port.
        """
        self._wire.open()
        heard, trouble = "", Silent("not asked yet")
        for _ in range(_GREETINGS):
            try:
                now = self._greeted(until)
            except Silent as error:
                trouble = error
                continue
            if now and now in (self.firmware, heard):
                self.firmware, self._is_in_step = now, True
                return
            heard = now
        if trouble.received:
            said = trouble.received[:60].decode("ascii", "replace").strip()
            raise NeedsOperator(f"{self._wire.port} answers {said!a} to {_FIRMWARE!r}; {self._hint}")
        self._wire.close()  # a socket may be dead without knowing it; the next one is a new one
        raise trouble

    @property
    def _hint(self) -> str:
        return (
            f"an Inheco with DIP switch {self._dip} answers in frames that begin with {0xB0 + self._dip:02X}; "
            "is this its port, and option dip right?"
        )

    def _greeted(self, until: Deadline) -> str:
        """Ask for the firmware's name on a line that is quiet; "" for an answer that is none."""
        self._wait_for_quiet(until)
        try:
            reply = self._asked(_FIRMWARE, until)
            self._is_in_step = True
            return accepted(reply, _FIRMWARE)
        except (Garbled, Refused):
            return ""

    def ask(self, command: str, until: Deadline) -> str:
        """Send a command and return the data of its answer.

        Raises:
            Refused: the device answered with an error.
            Silent: no answer in time; whether the device got it is not known.
            Garbled: the answer is none of the protocol, or the line is full of noise.
            Gone: the port went away.
        """
        if self._wire.has_input:
            self._is_in_step = False
        if not self._is_in_step:
            self._get_in_step(until)
        reply = self._asked(command, until)
        self._is_in_step = True
        return accepted(reply, command)

    def close(self) -> None:
        """Let go of the port."""
        self._wire.close()

    def _asked(self, command: str, until: Deadline) -> Reply:
        self._is_in_step = False
        self._wire.write(encoded(command, dip=self._dip, unit=self._unit), until)
        return self._heard(until.within(self._reply_s))

    def _heard(self, until: Deadline) -> Reply:
        return decoded(self._wire.read_line(END, until, max_bytes=MAX_REPLY), dip=self._dip)

    def _get_in_step(self, until: Deadline) -> None:
        """Read past everything older than the firmware's name."""
        if _PLAIN.fullmatch(self.firmware):
            self._wait_for_quiet(until)
            return
        self._wire.flush()
        self._wire.write(encoded(_FIRMWARE, dip=self._dip, unit=self._unit), until)
        answer_by = until.within(self._reply_s)
        for _ in range(_MAX_OLD):
            with suppress(Garbled):
                reply = self._heard(answer_by)
                if not reply.error and reply.data == self.firmware:
                    return
        raise Garbled(f"{self._wire.port} sends frames that nobody asked for, and does not answer {_FIRMWARE!r}")

    def _wait_for_quiet(self, until: Deadline) -> None:
        """Read until nothing comes for a whole reply time, unless nothing was asked that may still be answered."""
        if self._is_in_step and not self._wire.has_input:
            return
        for _ in range(_MAX_OLD):
            self._wire.flush()
            try:
                self._wire.read_exact(1, until.within(self._reply_s))
            except Silent:
                return
        raise Garbled(f"{self._wire.port} does not fall silent")
