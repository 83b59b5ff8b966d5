"""A real SiLA 2 server of a plate hotel with a shaker, as a process: port, folder, insecure or tls.

Each line of ``effects.log`` in the folder is one thing that physically happened. Files in the folder steer it: ``slow``
keeps every command running until it is removed. With tls, ``ca.pem`` is the root certificate.
"""

import datetime
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FEATURE = """<?xml version="1.0" encoding="utf-8"?>
<Feature SiLA2Version="1.0" FeatureVersion="1.0" Originator="org.nextplate" Category="tests"
    xmlns="http://www.sila-standard.org" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:schemaLocation="http://www.sila-standard.org https://gitlab.com/SiLA2/sila_base/raw/master/schema/FeatureDefinition.xsd">
  <Identifier>PlateHotel</Identifier><DisplayName>Plate Hotel</DisplayName><Description>A hotel.</Description>
  {commands}
  <Property><Identifier>PlateOnGate</Identifier><DisplayName>Gate</DisplayName><Description>Plate.</Description>
    <Observable>No</Observable><DataType><Basic>String</Basic></DataType></Property>
  <DefinedExecutionError><Identifier>PlateStuck</Identifier><DisplayName>Stuck</DisplayName>
    <Description>The plate is stuck.</Description></DefinedExecutionError>
</Feature>"""
COMMANDS = {
    "Store": (True, {"Barcode": "String", "Gate": "Integer"}, {"Site": "Integer"}),
    "Fetch": (False, {"Barcode": "String"}, {}),
    "Shake": (True, {"Speed": "Integer", "Duration": "Integer"}, {}),
    "Move": (True, {"Barcode": "String", "From": "String", "To": "String"}, {}),
    "Scan": (False, {}, {"Code": "String"}),
}


def _field(kind: str, name: str, of: str) -> str:
    return (
        f"<{kind}><Identifier>{name}</Identifier><DisplayName>{name}</DisplayName><Description>{name}.</Description>"
        f"<DataType><Basic>{of}</Basic></DataType></{kind}>"
    )


def feature() -> str:
    """Return the feature definition."""
    commands = ""
    for name, (is_observable, takes, tells) in COMMANDS.items():
        body = "".join(_field("Parameter", *item) for item in takes.items())
        body += "".join(_field("Response", *item) for item in tells.items())
        commands += (
            f"<Command><Identifier>{name}</Identifier><DisplayName>{name}</DisplayName><Description>Do.</Description>"
            f"<Observable>{'Yes' if is_observable else 'No'}</Observable>{body}"
            "<DefinedExecutionErrors><Identifier>PlateStuck</Identifier></DefinedExecutionErrors></Command>"
        )
    return FEATURE.format(commands=commands)


def serve(port: int, folder: Path, mode: str) -> None:
    """Serve until the process is killed."""
    from sila2.framework import Feature
    from sila2.framework.errors.defined_execution_error import DefinedExecutionError
    from sila2.server import FeatureImplementationBase, SilaServer

    plates = Feature(feature())

    class Hotel(FeatureImplementationBase):  # type: ignore[misc]
        gate = "none"

        def _do(self, what: str, barcode: str) -> None:
            with (folder / "effects.log").open("a") as log:
                log.write(f"{what} {barcode}\n")
            while (folder / "slow").exists():
                time.sleep(0.01)
            self.gate = barcode
            if barcode == "STUCK":
                raise DefinedExecutionError(plates.defined_execution_errors["PlateStuck"], "it is stuck")
            if barcode == "BUG":
                raise RuntimeError("servo 7")

        def get_PlateOnGate(self, *, metadata: Any) -> str:
            return self.gate

        def Store(self, Barcode: str, Gate: int, *, metadata: Any, instance: Any) -> int:
            instance.begin_execution()
            self._do("store", Barcode)
            return 17

        def Fetch(self, Barcode: str, *, metadata: Any) -> None:
            self._do("fetch", Barcode)

        def Shake(self, Speed: int, Duration: int, *, metadata: Any, instance: Any) -> None:
            self._do("shake", f"{Speed} {Duration}")

        def Move(self, Barcode: str, From: str, To: str, *, metadata: Any, instance: Any) -> None:
            self._do("move", Barcode if Barcode in ("STUCK", "BUG") else f"{Barcode} {From} {To}")

        def Scan(self, *, metadata: Any) -> str:
            return "P1"

    for name, (is_observable, _, _) in COMMANDS.items():
        if is_observable:
            setattr(Hotel, f"{name}_default_lifetime_of_execution", datetime.timedelta(hours=1))
    server = SilaServer("hotel", "Hotel", "A hotel.", "1.0", "https://example.org", HOTEL_UUID)
    server.set_feature_implementation(plates, Hotel(server))
    if mode == "tls":
        key, chain = _certificate(folder)
        server.start("127.0.0.1", port, private_key=key, cert_chain=chain, enable_discovery=False)
    else:
        server.start_insecure("127.0.0.1", port, enable_discovery=False)
    print("serving", flush=True)
    time.sleep(3600)


HOTEL_UUID = "7b8b1d94-8c4a-4d5c-9c26-0a6a3a3e7d11"


def _certificate(folder: Path) -> tuple[bytes, bytes]:
    key, chain = folder / "key.pem", folder / "ca.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=SiLA2"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(chain)),
        ],
        check=True,
        capture_output=True,
    )
    return key.read_bytes(), chain.read_bytes()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
