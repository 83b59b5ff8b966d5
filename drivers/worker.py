"""A device port around a machine that is slow and may hang: one thread for each device, and a memory that outlives it.

A driver's author writes a `Machine`: blocking methods, each with a deadline. The worker makes a port of it
(drivers.ports.Device) and keeps these promises for all of them:

- ``submit`` returns when the command is on disk, ``poll`` never waits for the device;
- what was decided is on disk before anything moves, and how it ended before anybody is told;
- a key moves at most once, in this process or any later one. After a crash the machine's sensors are asked; what they
  cannot tell is UNKNOWN, and a person is;
- a machine that fails after it began, that does not end in time or whose thread dies is UNKNOWN, never a hang.

::

    asked --prepare--> begun --perform--> done | failed | unknown
      |  refused          |  killed
      v                   v
    failed            after_crash --> done | failed | unknown | not found (nothing moved: may be begun again)
"""

import queue
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from drivers.deadline import Deadline, Stopped
from drivers.ports import Report, Status
from drivers.worker_memory import JSON, Forgotten, Memory
from nextplate.errors import DeviceError, NeedsOperator, Transient

LOOKUP_WAIT_S = 10.0
"""How long lookup waits for the sensors of a device that a killed process left in motion."""
GRACE_S = 5.0
"""A machine that has not come back so long after its deadline is told of as hanging."""
_SAVE_AGAIN_S = 0.2
_CLOSE_S = 3.0
NOTHING_MOVED = "nothing moved"


class Machine(Protocol):
    """A device as its driver knows it: blocking calls from one thread, each of which ends by its deadline.

    What a call raises when it does not succeed is a DeviceError (`drivers.wire.WireError` is one); `Stopped`, which
    every wait raises when the process ends, is let through. One with a text ``trouble`` is asked for what it waits for
    while a command is under way; "" while all is well.
    """

    name: str
    """For messages: incubator, shaker, ..."""
    takes: tuple[type, ...]
    """The commands of drivers.ports that it takes."""

    def time_s(self, command: Any) -> float:
        """Return the time after which a command counts as stalled."""

    def prepare(self, command: Any, until: Deadline) -> JSON:
        """Connect, look whether the command is possible, decide what is to be decided; move nothing.

        Returns:
            The plan: JSON values that perform and after_crash are given.

        Raises:
            DeviceError: it is not possible now; the command FAILED and nothing moved.
        """

    def perform(self, command: Any, plan: JSON, until: Deadline) -> Report:
        """Move. Called once for a key, with the plan on disk.

        Returns:
            DONE, FAILED (with what it left behind) or UNKNOWN.

        Raises:
            DeviceError: it cannot be told what moved; the command is UNKNOWN.
        """

    def after_crash(self, command: Any, plan: JSON, until: Deadline) -> Report:
        """Tell by the sensors how a command stands that another process began; begin no motion.

        Returns:
            DONE, FAILED, UNKNOWN, or NOT_FOUND where it is certain that nothing moved.

        Raises:
            DeviceError: the device does not answer.
        """

    def inspect(self, until: Deadline) -> JSON:
        """Return versions, sensors and readings, by name; safe at any time.

        Raises:
            DeviceError: the device does not answer.
        """

    def close(self) -> None:
        """Let go of the port."""


@runtime_checkable
class Releasing(Protocol):
    """A machine whose `Machine.prepare` takes what others may want."""

    def release(self) -> None:
        """Undo it: the command is not begun after all. Raises nothing."""


@dataclass(slots=True)
class _Task:
    """What the thread is to do, or does."""

    run: Callable[[], None]
    key: str
    """Of the command that it is about; "" for an inspection."""
    overdue_at: float
    is_left_behind: bool = False
    """An earlier process began it; the sensors are asked how it stands."""
    is_over: threading.Event = field(default_factory=threading.Event)


class WorkerDevice:
    """The port (drivers.ports.Device) of a machine."""

    def __init__(
        self,
        machine: Machine,
        memory: Memory,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        lookup_wait_s: float = LOOKUP_WAIT_S,
    ) -> None:
        self._machine, self._memory, self._monotonic = machine, memory, monotonic
        self._lookup_wait_s = lookup_wait_s
        self._lock = threading.RLock()
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._task: _Task | None = None
        self._told: dict[str, Report] = {}
        """What the sensors could not settle, by key; UNKNOWN, until somebody looks up again."""
        self._promised: set[str] = set()
        """Keys of a killed process that were told of as running; those are not NOT_FOUND any more."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._death = ""
        self._looked: list[JSON | DeviceError] = []
        """What looks at the sensors found, the latest last."""

    def submit(self, command: Any, key: str) -> None:
        """Take a command; a key that was begun before changes nothing.

        Raises:
            Transient: another command is under way, one of a killed process is not settled, or the memory is away.
            NeedsOperator: not a command for this device, or its worker is dead.
        """
        with self._lock:
            try:
                if self._is_known(key):
                    return
                self._check(command)
                self._refuse_if_busy(key)
                self._memory.ask(key, command)
            except Forgotten as error:
                raise Transient(str(error)) from error
            except OSError as error:
                raise Transient(f"command {key} cannot be written down: {error}") from error
            self._start(lambda: self._perform(key, command), key, self._machine.time_s(command))

    def poll(self, key: str) -> Report:
        """Tell how a command stands; never waits for the device."""
        with self._lock:
            try:
                report = self._stand(key)
            except Forgotten as error:
                return Report(Status.UNKNOWN, message=str(error))
            if report.status is Status.RUNNING:
                self._promised.add(key)
            return report

    def lookup(self, key: str) -> Report:
        """Tell how a command stands after a crash; waits a little for the sensors."""
        with self._lock:
            self._told.pop(key, None)
            with suppress(Forgotten):
                self._stand(key)
            task = self._task
        if task is not None and task.key == key and task.is_left_behind:
            task.is_over.wait(self._lookup_wait_s)
        return self.poll(key)

    def inspect(self, wait_s: float = 30.0) -> JSON:
        """Return the device's versions, sensors and readings; moves nothing.

        Raises:
            Transient: it is busy, or did not answer in time.
            NeedsOperator: its port cannot be used.
        """
        found: list[JSON | DeviceError] = []
        with self._lock:
            if self._task is not None:
                about = self._task.key or "another look at it"
                raise Transient(self._death or f"the {self._machine.name} is busy with {about}")
            task = self._start(lambda: self._inspect(found, wait_s), "", wait_s)
        if not task.is_over.wait(wait_s + GRACE_S) or not found:
            raise Transient(self._death or f"the {self._machine.name} did not answer within {wait_s:g} s")
        if isinstance(found[0], DeviceError):
            raise found[0]
        return found[0]

    def readings(self) -> dict[str, float]:
        """Return what its sensors said last (drivers.ports.Sensing), and have an idle device asked again."""
        with self._lock:
            found = next((look for look in reversed(self._looked) if not isinstance(look, DeviceError)), {})
            if self._task is None and not self._death and not self._stop.is_set():
                looked: list[JSON | DeviceError] = [found] if found else []
                self._looked = looked
                self._start(lambda: self._inspect(looked, LOOKUP_WAIT_S), "", LOOKUP_WAIT_S)
        return {name: float(v) for name, v in found.get("climate", {}).items()}

    def close(self) -> None:
        """End the thread and let go of the port; a command under way goes on in the device and stays begun."""
        self._stop.set()
        self._tasks.put(None)
        if self._thread is not None:
            self._thread.join(_CLOSE_S)
        if self._thread is None or not self._thread.is_alive():  # else it is the thread's
            self._machine.close()

    # in the caller's thread, under the lock

    def _is_known(self, key: str) -> bool:
        is_current = self._task is not None and self._task.key == key
        return is_current or self._memory.ended(key) is not None or self._memory.plan(key) is not None

    def _check(self, command: Any) -> None:
        if self._death:
            raise NeedsOperator(self._death)
        if not isinstance(command, self._machine.takes):
            raise NeedsOperator(f"the {self._machine.name} does not take a {type(command).__name__}")

    def _refuse_if_busy(self, key: str) -> None:
        """Let nothing move before it is known how everything stands that was ever begun."""
        if self._task is not None:
            about = self._task.key or "a look at it"
            raise Transient(f"the {self._machine.name} is busy with {about}; command {key} was not taken")
        for left in self._memory.unended():
            self._told.pop(left, None)
            stand = self._stand(left)
            raise Transient(
                f"the {self._machine.name} is busy with {left}, which an earlier process began"
                f"{': ' + stand.message if stand.message else ''}; command {key} was not taken"
            )

    def _stand(self, key: str) -> Report:
        if (task := self._task) is not None and task.key == key:
            return self._under_way(task)
        if (ended := self._memory.ended(key)) is not None:
            return ended
        if self._memory.plan(key) is None:
            return Report(Status.NOT_FOUND)
        if (told := self._told.get(key)) is not None:
            return told
        return self._settle(key)

    def _under_way(self, task: _Task) -> Report:
        if not self._memory.is_there:
            raise Forgotten(f"the memory {self._memory.place} is not whole; put its folders back")
        if self._death:
            return Report(Status.UNKNOWN, message=f"{self._death}; look at the {self._machine.name}")
        if self._monotonic() > task.overdue_at:
            return Report(Status.UNKNOWN, message=f"the {self._machine.name} hangs: {task.key} should have ended")
        return Report(Status.RUNNING, message=getattr(self._machine, "trouble", ""))

    def _settle(self, key: str) -> Report:
        """Have the sensors asked about a command that a killed process began."""
        if self._death or self._stop.is_set():
            return Report(Status.UNKNOWN, message=self._death or f"the {self._machine.name} is being closed")
        if self._task is not None:
            return Report(Status.RUNNING)
        command, plan = self._memory.command(key, self._machine.takes), self._memory.plan(key)
        if command is None or plan is None:
            raise Forgotten(f"{key} was begun, and what it was is lost; look at the {self._machine.name}")
        task = self._start(lambda: self._find_out(key, command, plan), key, self._machine.time_s(command))
        task.is_left_behind = True
        return Report(Status.RUNNING)

    def _start(self, run: Callable[[], None], key: str, wait_s: float) -> _Task:
        if self._stop.is_set():
            raise Transient(f"the {self._machine.name} is being closed")
        if self._thread is None:
            name = f"worker of the {self._machine.name}"
            self._thread = threading.Thread(target=self._work, daemon=True, name=name)
            self._thread.start()
        self._task = _Task(run, key, self._monotonic() + wait_s + GRACE_S)
        self._tasks.put(self._task)
        return self._task

    # in the worker's thread

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task.run()
                self._over(task)
            except Stopped:
                return
            except BaseException as error:
                # a thread that dies is told of by every verb from now on; nothing is retried
                self._death = f"the worker of the {self._machine.name} died: {_where(error)}; restart nextplate"
                task.is_over.set()
                return

    def _over(self, task: _Task) -> None:
        with self._lock:
            if self._task is task:  # else it was over before, and another one has begun
                self._task = None
        task.is_over.set()

    def _deadline(self, wait_s: float) -> Deadline:
        return Deadline.after(wait_s, monotonic=self._monotonic, stop=self._stop)

    def _perform(self, key: str, command: Any) -> None:
        until = self._deadline(self._machine.time_s(command))
        self._save(key, self._carried_out(key, command, until))

    def _carried_out(self, key: str, command: Any, until: Deadline) -> Report:
        try:
            plan = self._machine.prepare(command, until)
            self._begin(key, plan)
        except (DeviceError, OSError) as error:
            return Report(Status.FAILED, {}, f"{error}; {NOTHING_MOVED}")
        except Stopped:
            raise
        except Exception as error:
            return Report(Status.FAILED, {}, f"a bug in the driver: {_where(error)}; {NOTHING_MOVED}")
        return self._asked_machine(lambda: self._machine.perform(command, plan, until))

    def _begin(self, key: str, plan: JSON) -> None:
        try:
            self._memory.begin(key, plan)
        except OSError:  # prepared for nothing
            if isinstance(self._machine, Releasing):
                self._machine.release()
            raise

    def _find_out(self, key: str, command: Any, plan: JSON) -> None:
        until = self._deadline(self._machine.time_s(command))
        try:
            report = self._machine.after_crash(command, plan, until)
        except Stopped:
            raise
        except DeviceError as error:
            # not for ever: after a power cut the device may come up later than we do
            self._told[key] = Report(Status.UNKNOWN, message=str(error))
        except Exception as error:
            self._told[key] = Report(Status.UNKNOWN, message=f"a bug in the driver: {_where(error)}")
        else:
            self._found_out(key, report)

    def _found_out(self, key: str, report: Report) -> None:
        if report.status is Status.NOT_FOUND:
            with self._lock:
                if key not in self._promised:
                    self._withdraw(key)
                    self._task = None  # at once: whoever asked between would hear "running", and then "not found"
                    return
            report = Report(Status.FAILED, {}, f"the process that began it was killed before; {NOTHING_MOVED}")
        self._save(key, report)

    def _withdraw(self, key: str) -> None:
        try:
            self._memory.withdraw(key)
        except OSError as error:
            self._told[key] = Report(Status.UNKNOWN, message=f"it cannot be taken back: {error}")

    def _asked_machine(self, verb: Callable[[], Report]) -> Report:
        look = f"look at the {self._machine.name}"
        try:
            return verb()
        except DeviceError as error:
            return Report(Status.UNKNOWN, message=f"{error}; {look}")
        except Stopped:
            raise
        except Exception as error:
            return Report(Status.UNKNOWN, message=f"a bug in the driver: {_where(error)}; {look}")

    def _save(self, key: str, report: Report) -> None:
        """Write down how a command ended, however long that takes: nobody is told before."""
        while True:
            try:
                self._memory.end(key, report)
            except OSError:
                self._deadline(_SAVE_AGAIN_S).pause(_SAVE_AGAIN_S)
            else:
                return

    def _inspect(self, found: list[JSON | DeviceError], wait_s: float) -> None:
        try:
            found.append(self._machine.inspect(self._deadline(wait_s)))
        except DeviceError as error:
            found.append(error)
        except Stopped:
            raise
        except Exception as error:
            found.append(Transient(f"a bug in the driver: {_where(error)}"))


def _where(error: BaseException) -> str:
    """Describe an error and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno})" if frames else ""
    return f"{error!r}{place}"
