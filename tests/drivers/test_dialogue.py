"""Question and answer in step: no answer is ever taken for another question's."""

import re
from collections.abc import Sequence

import pytest
from fake_line import FakeLine, wire_on
from hypothesis import given
from hypothesis import strategies as st

from drivers.deadline import Deadline
from drivers.dialogue import Barrier, Dialogue
from drivers.wire import Garbled, Gone, LineSettings, Silent, Wire, WireError
from nextplate.errors import NeedsOperator

BARRIERS = (Barrier("B1", re.compile("b1")), Barrier("B2", re.compile("b2")))


class Echo:
    """Answers qN with aN and BN with bN; by its script an answer is in time, lost, or comes before the next one."""

    def __init__(self, script: Sequence[str]) -> None:
        self._script = list(script)
        self._late = b""
        self.asked: list[str] = []

    def heal(self) -> None:
        """Let every answer from now on come in time; one that is late is still to come."""
        self._script.clear()

    def __call__(self, data: bytes) -> bytes:
        text = data.decode().strip()
        self.asked.append(text)
        answer = text.lower().replace("q", "a").encode() + b"\n"
        late, self._late = self._late, b""
        match self._script.pop(0) if self._script else "ok":
            case "lost":
                return late
            case "late":
                self._late = answer
                return late
            case "noise":
                return late + b"\xff\xfe\n"
            case _:
                return late + answer


def dialogue(line: FakeLine, barriers: Sequence[Barrier] = BARRIERS) -> Dialogue:
    return Dialogue(wire_on(line), ends=(b"\n", b"\n"), reply_s=0.0, barriers=barriers)


def soon() -> Deadline:
    return Deadline.after(5.0)


@given(st.lists(st.sampled_from(["ok", "ok", "lost", "late", "noise"]), max_size=30))
def test_an_answer_is_the_questions_own_or_there_is_none(script: list[str]):
    for n in range(len(script) - 2):
        if set(script[n : n + 3]) <= {"lost", "late", "noise"}:
            script[n + 2] = "ok"  # two barriers outlast two bad answers in a row
    echo = Echo(script)
    talk = dialogue(FakeLine(echo))
    for n in range(20):
        try:
            assert talk.ask(f"q{n}", soon()) == f"a{n}"
        except WireError:
            continue
    echo.heal()
    assert talk.ask("q99", soon()) == "a99"


def test_after_a_late_answer_a_barrier_is_asked_and_only_then():
    echo = Echo(["ok", "late"])
    talk = dialogue(FakeLine(echo))
    assert talk.ask("q1", soon()) == "a1"
    with pytest.raises(Silent):
        talk.ask("q2", soon())
    assert talk.ask("q3", soon()) == "a3"
    assert talk.ask("q4", soon()) == "a4"
    assert echo.asked == ["q1", "q2", "B1", "q3", "q4"]


def test_what_nobody_asked_for_is_thrown_away():
    echo = Echo([])
    line = FakeLine(echo)
    talk = dialogue(line)
    talk.ask("q1", soon())
    line.incoming += b"a2\nsurprise\n"
    assert talk.ask("q2", soon()) == "a2"
    assert echo.asked == ["q1", "B1", "q2"]


def test_without_a_barrier_it_waits_for_quiet():
    talk = dialogue(FakeLine(Echo(["lost"])), ())
    with pytest.raises(Silent):
        talk.ask("q1", soon())
    assert talk.ask("q2", soon()) == "a2"


def test_a_flood_ends():
    line = FakeLine(lambda data: b"chatter\n" * 500)
    talk = dialogue(line)
    talk.ask("q1", soon())
    with pytest.raises(Garbled, match="nobody asked for"):
        talk.ask("q2", soon())


def test_noise_is_garbled():
    with pytest.raises(Garbled, match=r"answered 'q1' with noise: \\xff\\xfe"):
        dialogue(FakeLine(Echo(["noise"]))).ask("q1", soon())


def test_greeting():
    talk = dialogue(FakeLine(Echo(["lost", "late"])))
    talk.greet("hint", soon())
    with pytest.raises(NeedsOperator, match="fake answers 'hello' to 'B1'; is it another device"):
        dialogue(FakeLine(lambda data: b"hello\n")).greet("is it another device?", soon())


def test_a_port_on_which_nobody_answers_is_opened_afresh():
    lines = [FakeLine(), FakeLine(Echo([]))]

    def open_line(port: str, settings: LineSettings) -> FakeLine:
        return lines.pop(0)

    wire = Wire("fake", open_line=open_line)
    talk = Dialogue(wire, ends=(b"\n", b"\n"), reply_s=0.0, barriers=BARRIERS)
    wire.open()
    with pytest.raises(Silent):
        talk.greet("hint", soon())
    with pytest.raises(Gone):
        talk.ask("q1", soon())
    wire.open()
    talk.greet("hint", soon())
    assert talk.ask("q1", soon()) == "a1"
