"""The one question before anything moves: may this protocol run in this lab, on this robot?"""

from datetime import datetime

from protocols.judge import judge
from protocols.labware import RobotDeck
from protocols.ledger import Ledger
from protocols.model import Protocol
from protocols.problems import Problem, ProblemKind

__all__ = ["Problem", "ProblemKind", "check"]


def check(
    protocol: Protocol, ledger: Ledger, robot: RobotDeck | None = None, at: datetime | None = None
) -> tuple[Problem, ...]:
    """Return everything that forbids running a protocol, in order of execution, each with its well, tip or slot.

    Args:
        protocol: from wherever it comes.
        ledger: what is in the lab; what is booked there counts as drawn and as arrived.
        robot: as it stands in the lab, with the slots that are blocked; None: any of the protocol's kind.
        at: when it shall run; None: nothing is said of expiry.

    Returns:
        Problems; empty when the protocol may run.
    """
    return judge(protocol, ledger.lab(robot, at))
