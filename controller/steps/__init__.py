"""The computing steps of a round, one file each: ``run(inputs, params, output folder, progress) -> summary``.

A step reads its inputs, calls the pure functions of nextplate and protocols, and writes its output folder.
It knows no database, no device and no clock, so any executor can run it anywhere.
"""
