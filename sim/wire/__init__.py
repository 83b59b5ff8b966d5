r"""Devices on real wires: emulators behind a pty or a socket, with their quirks, physics and faults.

An emulator keeps its own state (what stands where) and its own log of what physically happened, so that a test can
prove that a driver moved a plate exactly once. It knows no driver; it is written from the facts page alone.

To emulate a device, write a class with ``time``, ``lock``, ``split``, ``answer`` and ``refusal`` (`sim.wire.emulator`);
`sim.wire.server.WireServer` puts it on a pty and a TCP port and plays a `sim.wire.faults.FaultScript`::

    time = EmulatedTime(speed=100.0)
    with WireServer(LiconicStx(time), folder) as server:
        server.faults.add(Fault(WireFault.LOST_REPLY, match="ST 1905"))
        ...  # a driver on server.pty_path or server.url

A networked device has ``handle`` and ``power_cycle`` instead, and `sim.wire.http_server.HttpServer` serves it::

    robot = OpentronsRobot("OT-3 Standard")
    with HttpServer(robot) as server:
        server.faults.add(Fault(WireFault.LOST_REPLY, match=r"POST /runs\n"))
        robot.mechanics.tips_to_miss = {2}
        ...  # a driver on server.url; then hold it against robot.log.wells(), robot.log.n_plays()

Faults of the mechanics are the device's own (`sim.wire.hotel.Jam`, ``is_door_open``, ``power_cycle``).
"""
