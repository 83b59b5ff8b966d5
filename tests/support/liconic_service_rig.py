"""The incubator lab of the STX Driver service: sockets of one command each."""

from pathlib import Path

from incubator_rig import PACE, REPLY_S, SPEED, Wired, WireLab

from drivers.incubator_handler import Pace
from drivers.liconic_service import SETTINGS, LiconicService, ServiceShape
from drivers.wire import line_at
from sim.wire.call_server import CallServer
from sim.wire.faults import Fault, FaultScript
from sim.wire.liconic_service import StxService
from sim.wire.time import EmulatedTime

GO = "STX2ServiceMovePlate"
SERVICE = Wired(
    StxService,
    lambda wire: LiconicService(wire, ServiceShape(3, 4), reply_s=REPLY_S, move_s=0.4),
    SETTINGS,
    GO,
)


class ServiceLab(WireLab):
    """A driver and the service."""

    def __init__(self, folder: Path, *, faults: tuple[Fault, ...] = (), pace: Pace = PACE) -> None:
        self._pace, self._folder, self.wired, self._via = pace, folder, SERVICE, "socket"
        folder.mkdir(parents=True, exist_ok=True)
        self.time = EmulatedTime(SPEED)
        self.emulator = StxService(self.time)
        self.hotel = self.emulator.hotel
        self.server = CallServer(self.emulator, faults=FaultScript(list(faults)))  # type: ignore[assignment]
        self.open(line_at)
