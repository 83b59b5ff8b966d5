"""Result files as vendors' software would write them, and ways to damage them."""

import json
import random
from collections.abc import Mapping
from decimal import Decimal

from protocols.labware import vendor_well
from protocols.model import Protocol, Transfer

Moved = Mapping[int, tuple[str, str]]
"""By transfer: what moved in nl, and the status; a transfer that is not listed went well."""


def echo_report(protocol: Protocol, faults: Moved | None = None, skip: frozenset[int] = frozenset()) -> bytes:
    faults = faults or {}
    head = (
        "Date Time Point,Source Plate Barcode,Source Plate Name,Source Well,Destination Plate Name,"
        "Destination Plate Barcode,Destination Well,Transfer Volume,Actual Volume,Transfer Status"
    )
    lines = ["Run ID,7", "Run Date/Time,2026-11-25", "Protocol Name,list", "", "[EXCEPTIONS]", head]
    lines += [_echo_row(t, *faults[t.transfer_id]) for t in protocol.transfers if t.transfer_id in faults]
    lines += ["", "[DETAILS]", head]
    good = [t for t in protocol.transfers if t.transfer_id not in faults and t.transfer_id not in skip]
    lines += [_echo_row(t, str(t.volume_nl), "") for t in good]
    lines += ["", "Instrument Name,E5XX-1", "Instrument Model,Echo 550", "Instrument Serial Number,E5XX-1", ""]
    return "\r\n".join(lines).encode()


def _echo_row(t: Transfer, actual: str, status: str) -> str:
    ends = [t.source_plate, t.source_plate, vendor_well(t.source_well), t.destination_plate, t.destination_plate]
    return ",".join(["10:00", *ends, vendor_well(t.destination_well), str(t.volume_nl), actual, status])


def result_table(
    protocol: Protocol, faults: Moved | None = None, skip: frozenset[int] = frozenset(), end: str = ""
) -> bytes:
    faults = faults or {}
    lines = [
        "Source Plate Name,Source Well,Destination Plate Name,Destination Well,Transfer Volume,Actual Volume,Status"
    ]
    for t in protocol.transfers:
        if t.transfer_id in skip:
            continue
        actual, status = faults.get(t.transfer_id, (str(t.volume_nl), "ok"))
        micro = [f"{Decimal(nl) / 1000:f}" if nl else "" for nl in (str(t.volume_nl), actual)]
        ends = [t.source_plate, vendor_well(t.source_well), t.destination_plate, vendor_well(t.destination_well)]
        lines.append(",".join([*ends, *micro, status]))
    return "\r\n".join([*lines, *([end] if end else []), ""]).encode()


def run_record(protocol: Protocol, faults: Mapping[int, str] | None = None, status: str = "succeeded") -> bytes:
    """Faults by transfer: aspirate, dispense or stop (between the two); the run ends there."""
    load, commands = protocol.loads[0], []

    def add(kind: str, params: object, state: str = "succeeded", result: object = None) -> None:
        error = {"errorType": "overpressure", "detail": "clot"} if state == "failed" else None
        commands.append(
            {
                "id": f"c{len(commands)}",
                "commandType": kind,
                "status": state,
                "params": params,
                "result": result,
                "error": error,
            }
        )

    for item in load.deck:
        where = {"loadName": item.labware, "displayName": item.barcode, "location": {"slotName": item.slot}}
        add("loadLabware", where, result={"labwareId": f"id-{item.slot}"})
    ids = {item.barcode: f"id-{item.slot}" for item in load.deck}
    for t in load.transfers:
        fault = (faults or {}).get(t.transfer_id, "")
        add("pickUpTip", {"labwareId": ids[t.tip_rack], "wellName": vendor_well(t.tip_well)})
        place = {"labwareId": ids[t.source_plate], "wellName": vendor_well(t.source_well), "volume": t.volume_nl / 1000}
        add("aspirate", place, "failed" if fault == "aspirate" else "succeeded", _moved(place, fault == "aspirate"))
        place = {**place, "labwareId": ids[t.destination_plate], "wellName": vendor_well(t.destination_well)}
        if fault in ("aspirate", "stop"):
            break
        add("dispense", place, "failed" if fault == "dispense" else "succeeded", _moved(place, fault == "dispense"))
        if fault:
            break
        add("dropTipInPlace", {})
    body = {"run": {"data": {"status": status}}, "data": commands, "meta": {"cursor": 0, "totalLength": len(commands)}}
    return json.dumps(body).encode()


def _moved(place: Mapping[str, object], is_failed: bool) -> dict[str, object] | None:
    return None if is_failed else {"volume": place["volume"]}


def trace(protocol: Protocol, faults: Mapping[int, str] | None = None) -> bytes:
    """Faults by transfer: aspirate or dispense; the method is aborted there."""
    lines = ["2026-11-25 10:00:00> SYSTEM : Execute method - start;"]

    def say(step: str, state: str, rest: str = "") -> None:
        lines.append(f"2026-11-25 10:00:01> ML_STAR : {step} - {state}; {rest}")

    for t in protocol.transfers:
        fault, micro = (faults or {}).get(t.transfer_id, ""), f"{t.volume_nl / 1000:g} uL"
        for verb, plate, well in (
            ("Aspirate", t.source_plate, t.source_well),
            ("Dispense", t.destination_plate, t.destination_well),
        ):
            say(f"Channel {verb}".replace("Channel ", ""), "start")
            is_bad = fault == verb.casefold()
            say(verb, "error" if is_bad else "complete", f"channel 1: {plate}, {vendor_well(well)}, {micro}")
            if is_bad:
                break
        if fault:
            say("Abort command", "complete")
            break
    lines.append("2026-11-25 10:09:00> SYSTEM : End method - complete;")
    return "\r\n".join([*lines, ""]).encode()


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """Damage a file in one of many ways."""
    data = bytearray(raw)
    match rng.randrange(9):
        case 0:
            return bytes(data[: rng.randrange(len(data))])
        case 1:
            for _ in range(rng.randint(1, 8)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        case 2:
            at, n = rng.randrange(len(data)), rng.randint(1, 60)
            del data[at : at + n]
        case 3:
            at = rng.randrange(len(data))
            data[at:at] = rng.randbytes(rng.randint(1, 40))
        case 4:
            lines = raw.split(b"\n")
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            return b"\n".join(lines)
        case 5:
            lines = raw.split(b"\n")
            del lines[rng.randrange(len(lines))]
            return b"\n".join(lines)
        case 6:
            lines = raw.split(b"\n")
            rng.shuffle(lines)
            return b"\n".join(lines)
        case 7:
            at = rng.randrange(len(data))
            data[at:at] = rng.choice(
                [b'"', b"\x00", b"\xff\xfe", b",,,,", b"1e999", b"NaN", b"-", b"\r", b"9" * 500, b"[[[["]
            )
        case _:
            return rng.randbytes(rng.randint(0, 300))
    return bytes(data)
