"""Devices on real wires: emulators behind a pty or a socket, with their quirks, physics and faults.

An emulator keeps its own state (what stands where) and its own log of what physically happened, so that a test can
prove that a driver moved a plate exactly once. It knows no driver; it is written from the facts page alone.
"""
