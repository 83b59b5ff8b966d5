"""ACME Orbit shakers on their serial line (9600 8N1)."""

import re

from drivers.dialogue import Barrier, Dialogue
from drivers.serial_options import wire_of
from drivers.shaker_handler import Rotor
from drivers.shaker_options import shaker_device, shaker_options
from drivers.wire import Garbled, LineSettings
from nextplate.errors import NeedsOperator

SETTINGS = LineSettings(baudrate=9600)
WHO = Barrier("ID?", re.compile("ACME Orbit [0-9.]+"))
STATE = Barrier("STATE?", re.compile("STATE (still|faster|turning|braking|fault)"))
SLOWEST_RPM, FASTEST_RPM = 100, 2000


# words: from a reply to a value; they believe only what is of the protocol


def acknowledged(reply):
    if reply == "NO":
        raise NeedsOperator("the shaker refused")
    if reply != "OK":
        raise Garbled(f"the shaker answered {reply[:40]!a}, not OK")


def state(reply):
    if not (found := STATE.answer.fullmatch(reply)):
        raise Garbled(f"{reply[:40]!a} is no state")
    return found[1]


def rpm(reply, word="RPM"):
    if not (found := re.fullmatch(f"{word} ([0-9]{{1,4}})", reply)):
        raise Garbled(f"{reply[:40]!a} is not {word} and a speed")
    return int(found[1])


# machine: what drivers.shaker.ShakerMachine needs of a vendor; it does the rest


class AcmeShaker:
    def __init__(self, wire, *, reply_s=1.0):
        self._wire, self._armed_rpm = wire, None
        self._line = Dialogue(wire, ends=(b"\r", b"\r\n"), reply_s=reply_s, barriers=(WHO, STATE))

    def connect(self, until):
        self._wire.open()
        self._line.greet("an Orbit answers 'ACME Orbit' to ID?; is this its port?", until)

    def rotor(self, until):
        now, target = state(self._line.ask("STATE?", until)), rpm(self._line.ask("RPM?", until))
        return Rotor(
            is_turning=now in ("faster", "turning", "braking"),
            is_stopping=now == "braking",
            error="motor fault; switch it off and on" if now == "fault" else "",
            is_restarted=self._armed_rpm not in (None, target),  # it forgets its speed when switched off
        )

    def speeds_rpm(self, until):
        return SLOWEST_RPM, FASTEST_RPM

    def has_timer(self, until):
        return True

    def arm(self, speed_rpm, until):
        acknowledged(self._line.ask(f"RPM {speed_rpm}", until))
        if (found := rpm(self._line.ask("RPM?", until))) != speed_rpm:
            raise Garbled(f"the shaker took {found} rpm, not {speed_rpm}")
        self._armed_rpm = speed_rpm

    def expect(self, speed_rpm):
        self._armed_rpm = speed_rpm

    def start(self, duration_s, until):
        acknowledged(self._line.ask(f"RUN {duration_s}", until))  # the one frame that moves, sent once

    def stop(self, until):
        acknowledged(self._line.ask("STOP", until))

    def clamp(self, until):
        pass  # an Orbit holds its plate by a rubber mat

    release = clamp

    def speed_rpm(self, until):
        return rpm(self._line.ask("SPEED?", until), "SPEED")

    def identify(self, until):
        return {"device": self._line.ask("ID?", until)}

    def close(self):
        self._wire.close()


# factory: what the entry point names; it opens nothing


def make(kind, options, lab):
    said = shaker_options("acme-orbit", kind, options, {}, {})
    handler = AcmeShaker(wire_of(said, SETTINGS, kind, lab), reply_s=said.get("reply_s", 1.0))
    return shaker_device(handler, said, kind, lab)
