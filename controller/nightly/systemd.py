"""systemd: tell it how the service stands, and write its unit."""

import grp
import os
import shlex
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from protocols.sentences import plain

_SERIAL_GROUPS = ("dialout", "uucp")
"""Who may open serial ports, by distribution."""
_SERIAL = ("char-ttyUSB", "char-ttyACM", "char-ttyS")


class Notifier:
    """sd_notify: datagrams to NOTIFY_SOCKET. Without one (not under systemd) it says nothing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        micros = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(micros) / 1e6 if for_us and micros.isdecimal() and int(micros) else None
        """systemd kills a service that is silent for so long; None: it does not watch."""

    def say(self, *lines: str) -> None:
        """Send lines such as READY=1; a socket that is gone is no reason to end a night."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.setblocking(False)
            try:
                # a device's words may have lines of their own, which systemd would take for orders
                line.sendto("\n".join(map(plain, lines)).encode(), address)
            except OSError:
                return  # systemd itself restarts, or its queue is full; the next one tells as much


def unit_text(lab: Path, stop_s: float, is_simulated: bool, database_path: Path | None = None) -> str:
    """Write the unit of a lab's service.

    Args:
        lab: the lab folder; the one place that is written to, with the database's folder if that is elsewhere.
        stop_s: how long a clean stop may take.
        is_simulated: whether no device is real; then no serial port is let through.
        database_path: of an SQLite file; None: a server's.
    """
    folder = lab.resolve()
    # -P: the working folder is a lab, whose folders sim and protocols are no packages.
    program = [sys.executable, "-P", "-m", "controller.cli", "nightly", "--lab", str(folder)]
    writes = {folder} | ({database_path.parent.resolve()} if database_path else set())
    kept = {path for path in writes if not any(path != other and path.is_relative_to(other) for other in writes)}
    lines = [
        "[Unit]",
        f"Description=nextplate nightly: unattended nights of {_said(folder.name)}",
        "Documentation=https://www.freedesktop.org/software/systemd/man/systemd.service.html",
        "Wants=network-online.target time-sync.target",
        "After=network-online.target time-sync.target",
        "StartLimitIntervalSec=600",
        "StartLimitBurst=10",
        "",
        "[Service]",
        "Type=notify",
        f"ExecStart={' '.join(map(_argument, program))}",
        f"WorkingDirectory={_said(str(folder))}",
        *_owner(folder),
        "CacheDirectory=nextplate",
        "Environment=NUMBA_CACHE_DIR=%C/nextplate/numba MPLCONFIGDIR=%C/nextplate/matplotlib",
        "NotifyAccess=main",
        "WatchdogSec=60",
        "Restart=on-failure",
        "RestartSec=5",
        "# SIGTERM goes to the keeper alone, which ends the night with care; then everything left is killed.",
        "KillMode=mixed",
        f"TimeoutStopSec={round(stop_s) + 30}",
        "UMask=0027",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        f"ReadWritePaths={' '.join(_argument(str(path)) for path in sorted(kept))}",
        "# Exchange folders and shares outside the lab: name each in another ReadWritePaths=.",
        "ProtectHome=read-only",
        "PrivateTmp=yes",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectControlGroups=yes",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "SystemCallArchitectures=native",
        "CapabilityBoundingSet=",
        *_devices(is_simulated),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def _devices(is_simulated: bool) -> list[str]:
    if is_simulated:
        return ["PrivateDevices=yes"]
    groups = [entry.gr_name for entry in grp.getgrall() if entry.gr_name in _SERIAL_GROUPS]
    lines = ["DevicePolicy=closed", *(f"DeviceAllow={name} rw" for name in _SERIAL)]
    return lines + ([f"SupplementaryGroups={' '.join(groups)}"] if groups else [])


def _owner(folder: Path) -> list[str]:
    """Run as whoever the lab belongs to."""
    try:
        return [f"User={folder.owner()}", f"Group={folder.group()}"]
    except KeyError:  # an owner without a name here, as on some shares
        return ["# User=: the owner of the lab has no name on this machine; name one who may write to it"]


def _said(text: str) -> str:
    """Write text so that systemd takes it as it is: % begins its specifiers."""
    return text.replace("%", "%%")


def _argument(text: str) -> str:
    quoted = shlex.quote(text)
    return _said(text if quoted == text else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"').replace(
        "$", "$$"
    )
