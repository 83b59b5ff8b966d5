"""Will tonight work? The loop's own decisions, rehearsed on a clock that jumps, before anybody goes home.

Nothing is written into the journal and no device is spoken to. Plates that are not planned yet are planned for real,
for steps are functions of files: what is computed here is there at night. Devices are played by how long each has
taken until now, with that spread.
"""

from controller.preflight.rehearsal import Foreseen, NightRun, preflight
from controller.preflight.telling import preflight_body, preflight_text

__all__ = ["Foreseen", "NightRun", "preflight", "preflight_body", "preflight_text"]
