"""The science of nextplate: pure functions and frozen nouns.

No SQL, no sockets, no devices, no wall clock. Imports nothing of the rooms above it
(protocols, drivers, sim, controller); import-linter proves it.
"""

__version__ = "0.1.0"
