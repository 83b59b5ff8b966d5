"""`nextplate nightly`: the unattended service, as two processes.

The *keeper* (keeper.py, service.py) is small: it knows when nights start, starts the *night* (night.py) as a child
process, listens to its heartbeat on a pipe, starts it anew after a crash or a hang, and tells people. It holds
``lab/.nightly.lock``, so a second service is refused. The night holds the lab's own lock while it works and runs the
same loop as `nextplate run`. Neither keeps anything that matters: what happened is in the journal, and which night is
open in ``logs/nightly/service.json``.

=====================  ==============================================================================================
killed                 what follows
=====================  ==============================================================================================
night, by anything     the keeper starts it again, with growing pauses, not for ever
night hangs            no heartbeat for ``hang_s``: its threads are written to the log, it is killed, started again
keeper                 the night reads the end of a pipe, ends after its scan, and in any case soon; whoever starts the
                       service again (systemd) finds the open night and goes on with it
both                   the same
=====================  ==============================================================================================
"""
