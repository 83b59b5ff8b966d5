"""Device ports (ports.py) and one file per vendor.

A serial or network device, in an afternoon
-------------------------------------------
1. *Words* (``drivers/acme_words.py``): pure functions from a reply to a value. They believe only what is of the
   protocol; everything else is `drivers.wire.Garbled`, a refusal by the device is NeedsOperator. Test them with 10,000
   mutated replies (tests/drivers/test_incubator_words.py).
2. *Machine* (``drivers/acme.py``): blocking methods over a `drivers.wire.Wire` that take a `Deadline` and hand it down
   to every wait (`drivers.worker.Machine`: prepare, perform, after_crash, inspect). A line protocol talks through
   `drivers.dialogue.Dialogue`, which keeps question and answer in step after a lost or late answer; a binary one uses
   ``write`` and ``read_exact``. The rules: ``prepare`` moves nothing; ``perform`` sends the one frame that moves *once*
   and then reads the device's own state, twice the same, to learn how it ended; ``after_crash`` only reads. An
   incubator or hotel needs even less: a `drivers.incubator_handler.Handler`.
3. *Factory*: ``make(kind, options, lab) -> WorkerDevice(machine, memory)``, with `drivers.serial_options` for port, log
   and memory; an entry point in group ``nextplate.drivers`` names it. It opens nothing: the worker does, when asked.
4. *Emulator* (``sim/wire/acme.py``, see `sim.wire`): split, answer, refusal, and the physics. Written from facts, not
   from the driver.
5. *Contract*: an entry in a rig (tests/support/incubator_rig.py) runs the suites on the driver over a pty and a socket,
   with every fault of `sim.wire.faults`, and killed at any moment.

A whole example, proven in the suites of every shaker: tests/support/acme_shaker.py and acme_orbit.py, one entry in
tests/support/shaker_rig.py, and tests/contract/test_acme.py.

A device whose maker gives a SiLA 2 server needs no driver: `drivers.sila` and a mapping file. A liquid handler, an
incubator or a shaker that PyLabRobot drives: `drivers.pylabrobot`.

What each layer promises::

    ports.Device    submit, poll, lookup; never waits for the device
      worker.WorkerDevice      one thread, durable records, deadlines, crash recovery, worker death told
        worker.Machine         what is possible, the one motion, how it ended      (incubator.IncubatorMachine)
          incubator_handler    a vendor's frames                                   (liconic.Liconic, cytomat.Cytomat)
            dialogue.Dialogue  question and answer in step
              wire.Wire        bytes, exclusive port, deadlines, log, replay
"""
