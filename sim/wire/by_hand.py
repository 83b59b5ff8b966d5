"""Emulated devices by hand: ``python -m sim.wire cytomat`` serves one until interrupted, and says where it listens.

A serial device has a pty and a TCP port at once, either of which goes into lab.toml as option ``port``; what the device
does is not printed: `nextplate device watch` shows the bytes of a driver's wire.
"""

import argparse
import importlib
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.wire.time import EmulatedTime

Serve = Callable[[Any, argparse.Namespace, ExitStack], tuple[str, ...]]
"""Begins to serve an emulator; returns where it listens, each in words."""


def _of(module: str) -> Any:
    return importlib.import_module(f"sim.wire.{module}")


def _wire(emulator: Any, chosen: argparse.Namespace, stack: ExitStack) -> tuple[str, ...]:
    server = stack.enter_context(_of("server").WireServer(emulator, chosen.folder, port=chosen.port))
    if hasattr(emulator, "unasked"):
        stack.callback(_of("voice").Voice(emulator, server).close)
    return f"pty: {server.pty_path}", f"TCP: {server.url}"


def _calls(emulator: Any, chosen: argparse.Namespace, stack: ExitStack) -> tuple[str, ...]:
    server = _of("call_server").CallServer(emulator, port=chosen.port)
    stack.callback(server.close)
    return (f"TCP: {server.url}",)


def _http(emulator: Any, chosen: argparse.Namespace, stack: ExitStack) -> tuple[str, ...]:
    server = stack.enter_context(_of("http_server").HttpServer(emulator, port=chosen.port))
    return (f"HTTP: {server.url}",)


@dataclass(frozen=True, slots=True)
class Kind:
    """One emulated device."""

    words: str
    make: Callable[[EmulatedTime, argparse.Namespace], Any]
    place: Callable[[Any, str], object]
    """Puts a plate of a barcode where the device can take it."""
    serve: Serve = _wire


def _arm(clock: EmulatedTime, chosen: argparse.Namespace) -> Any:
    """Make an arm for the positions in a lab's own file.

    Raises:
        SystemExit: there is none, or it is no such file.
    """
    if chosen.places is None:
        raise SystemExit("pf400 needs --places FILE, the file of taught positions that lab.toml names")
    pf400 = _of("pf400")
    try:
        body = tomllib.loads(chosen.places.read_text(encoding="utf-8"))
        spots = {
            name: pf400.Spot(tuple(spot["at"]), tuple(spot["above"])) for name, spot in body["places"].items()
        }  # fmt: skip
        return pf400.Pf400Emulator(clock, spots, tuple(body["safe"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SystemExit(f"{chosen.places} is no file of taught positions: {error!r}") from error


def _on_station(emulator: Any, plate: str) -> object:
    return emulator.hotel.put_on_station(plate)


def _on_rotor(emulator: Any, plate: str) -> object:
    return emulator.physics.put(plate)


def _on_stage(emulator: Any, plate: str) -> object:
    emulator.scope.plate = plate
    return plate


def _on_carrier(emulator: Any, plate: str) -> object:
    emulator.wet.plate = plate
    return plate


def _in_sight(emulator: Any, plate: str) -> object:
    return emulator.bench.labels.append(plate)


def _in_a_screen(emulator: Any, plate: str) -> object:
    return emulator.store.add_plate(plate, wells=((0, 0), (0, 1)))


def _at_first_place(emulator: Any, plate: str) -> object:
    return emulator.physics.plates.__setitem__(next(iter(emulator.physics.spots)), plate)


KINDS: Mapping[str, Kind] = {
    "barcode-keyence": Kind("Keyence SR reader", lambda t, _: _of("barcode").KeyenceReader(t), _in_sight),
    "barcode-scanner": Kind("barcode scanner", lambda t, _: _of("barcode").PlainScanner(t), _in_sight),
    "bioshake": Kind("QInstruments BioShake", lambda t, _: _of("bioshake").BioShake3000(t), _on_rotor),
    "bluewasher": Kind("BlueCatBio BlueWasher", lambda t, _: _of("bluewasher").BlueWasherEmulator(t), _on_carrier),
    "cytomat": Kind("Thermo Cytomat", lambda t, _: _of("cytomat").CytomatEmulator(t), _on_station),
    "el406": Kind("BioTek EL406", lambda t, _: _of("el406").El406(t), _on_carrier),
    "imx": Kind("ImageXpress Micro", lambda t, c: _of("imx").ImxEmulator(t, c.folder), _on_stage),
    "inheco": Kind("Inheco Incubator Shaker", lambda t, _: _of("inheco").IncubatorShaker(t), _on_rotor),
    "liconic": Kind(
        "LiCONiC STX with cassettes = 3, levels = 4", lambda t, _: _of("liconic").LiconicStx(t), _on_station
    ),
    "liconic-service": Kind(
        "LiCONiC STX Driver service", lambda t, _: _of("liconic_service").StxService(t), _on_station, _calls
    ),
    "omero": Kind("OMERO.web", lambda t, _: _of("omero").OmeroEmulator(t), _in_a_screen, _http),
    "pf400": Kind("Brooks PF400 arm", _arm, _at_first_place),
    "squid": Kind("Cephla Squid", lambda t, c: _of("squid").SquidEmulator(t, c.folder), _on_stage, _http),
}
"""By what they are called on the command line; an Opentrons has its own, `python -m sim.wire.opentrons`."""


def main(arguments: list[str] | None = None, *, wait: Callable[[], None] = lambda: time.sleep(3600)) -> None:
    """Serve one emulated device until interrupted; prints where it listens first."""
    names = "\n".join(f"  {name:<16} {kind.words}" for name, kind in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m sim.wire",
        description=f"{main.__doc__}\n\ndevices:\n{names}\n  opentrons        python -m sim.wire.opentrons --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=sorted(KINDS), metavar="NAME", help="one of the devices above")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0: any free one")
    parser.add_argument("--folder", type=Path, help="for its pty and what it writes; a fresh one where it is not said")
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of the device's in one of ours")
    parser.add_argument("--plate", default="", help="barcode of a plate that stands at the device")
    parser.add_argument("--places", type=Path, help="pf400: file of taught positions")
    chosen = parser.parse_args(arguments)
    with ExitStack() as stack:
        if chosen.folder is None:
            chosen.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nextplate-wire-")))
        chosen.folder.mkdir(parents=True, exist_ok=True)
        kind = KINDS[chosen.name]
        emulator = kind.make(EmulatedTime(chosen.speed), chosen)
        if chosen.plate:
            kind.place(emulator, chosen.plate)
        try:
            where = kind.serve(emulator, chosen, stack)
        except OSError as error:
            raise SystemExit(f"{chosen.name} cannot listen at port {chosen.port}: {error}") from error
        print(f"{kind.words} listens", *where, sep="\n", flush=True)
        try:
            while True:
                wait()
        except KeyboardInterrupt:
            return


def serve(name: str) -> None:
    """Serve the device of a module that is run as a program."""
    import sys

    main([name, *sys.argv[1:]])
