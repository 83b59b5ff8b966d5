"""A file written by hand is held against the lab's robot, deck, tips and stock, as one of ours is."""

from datetime import date

import pytest

from protocols.geometry import fixture
from protocols.handwritten_books import Account, Placed
from protocols.handwritten_lab import lab_problems, not_known
from protocols.labware import RobotDeck, robot_deck
from protocols.problems import ProblemKind
from protocols.stock import PlateCare, TipRack

PLATE, TIPS = "nest_96_wellplate_200ul_flat", "opentrons_flex_96_tiprack_50ul"
RACKS = (TipRack("T", TIPS, ("A01", "B01")),)
TODAY = date(2026, 1, 5)


def books() -> Account:
    placed = [Placed("S", PLATE, "C1", 1), Placed("T", TIPS, "C2", 2), Placed("on a module", PLATE, "", 3)]
    tips = [(5, ("T", "A01")), (9, ("T", "B01"))]
    return Account(drawn={("S", "A01"): 5_000}, placed=placed, tips=tips, tools=["p50_single_flex"])


def found(
    account: Account | None = None,
    robot: RobotDeck | None = None,
    care: PlateCare | None = None,
    robot_type: str = "OT-3 Standard",
) -> list[tuple[ProblemKind, str]]:
    kept = {"S": care or PlateCare()}
    problems = lab_problems(account or books(), robot_type, robot or robot_deck("flex"), RACKS, kept, TODAY)
    return [(p.kind, p.message) for p in problems]


def test_a_right_file_has_no_problem() -> None:
    assert found() == []
    assert list(lab_problems(books(), "", None, (), {}, None)) == []


@pytest.mark.parametrize(
    ("care", "kind", "words"),
    [
        (PlateCare(expires=date(2020, 1, 1)), ProblemKind.EXPIRED, "it kept until 2020-01-01"),
        (PlateCare(n_thaws=9, max_thaws=1), ProblemKind.THAWED, "thawed 9 times and may be 1"),
    ],
)
def test_stock_that_is_past_its_time_is_refused(care: PlateCare, kind: ProblemKind, words: str) -> None:
    ((seen, message),) = found(care=care)
    assert seen is kind
    assert words in message


def test_a_tip_that_is_gone_or_taken_twice_is_refused() -> None:
    account = books()
    account.tips += [(12, ("T", "C01")), (15, ("T", "A01"))]
    assert [kind for kind, _ in found(account)] == [ProblemKind.TIP] * 2
    assert not_known(books(), (TipRack("X", TIPS, ()),)) == ["nothing is known of the tips in T: taken as full"]


@pytest.mark.parametrize(
    ("robot", "robot_type", "kind", "words"),
    [
        (robot_deck("ot2"), "OT-3 Standard", ProblemKind.ROBOT, "the lab has the OT-2"),
        (robot_deck("flex", blocked=("C1",)), "OT-3 Standard", ProblemKind.DECK, "command 1: S stands in slot C1"),
        (
            robot_deck("flex", pipette_name="flex_1channel_1000"),
            "OT-3 Standard",
            ProblemKind.ROBOT,
            "p50_single_flex, which is not on the lab's flex",
        ),
        (
            robot_deck("flex", fixtures=(fixture("flex", "heater-shaker", "C1"),)),
            "OT-3 Standard",
            ProblemKind.DECK,
            "C1",
        ),
    ],
)
def test_another_robot_pipette_or_slot_is_refused(
    robot: RobotDeck, robot_type: str, kind: ProblemKind, words: str
) -> None:
    problems = found(robot=robot, robot_type=robot_type)
    assert any(seen is kind and words in message for seen, message in problems), problems
