"""A SiLA 2 server over the package sila2 (extra ``sila``), with a deadline on every call; facts/robots.md section 6.

The package waits for ever when a server hangs, so each call runs in a thread of its own and is given up in time; what
such a call still learns (an execution's UUID) is handed on all the same. Three ways a call goes wrong are told apart:

- Refused: the server did not take it (a parameter is wrong, or it is not ready), nothing moved;
- Failed: it was taken and ended with a defined or undefined execution error;
- Transient: no answer, or none that is SiLA; what moved is not known.
"""

import importlib
import json
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from drivers.deadline import Deadline
from drivers.sila_mapping import Call
from nextplate.errors import DeviceError, NeedsOperator, Transient

_LOOK_S = 0.05
"""How often a wait looks whether the process ends."""
_T = TypeVar("_T")


class Refused(NeedsOperator):
    """The server did not take the call."""


class Failed(NeedsOperator):
    """The server took the call, and it ended with an error."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and how it is known."""

    host: str
    port: int
    root_certificates: bytes | None
    """PEM; None: not encrypted, for this machine's own servers only."""
    server_uuid: str = ""
    """The server that is meant; "" for whatever answers."""

    def __str__(self) -> str:
        return f"SiLA server {self.host}:{self.port}"


class SilaLink:
    """The connection; not connected until asked."""

    def __init__(self, address: Address, *, reply_s: float) -> None:
        self._address, self._reply_s = address, reply_s
        self._client: Any = None

    def connect(self, until: Deadline) -> None:
        """Connect unless connected, read the server's features, and see that it is the one meant.

        Raises:
            DeviceError: no answer, not a SiLA server, or another one than option ``server_uuid`` says.
        """
        if self._client is None:
            self._client = self._bounded(self._connected, until)
        uuid = self._question(lambda: str(self._client.SiLAService.ServerUUID.get()), until)
        if self._address.server_uuid and uuid.lower() != self._address.server_uuid.lower():
            raise NeedsOperator(f"{self._address} is {uuid}, not {self._address.server_uuid}")

    def check(self, call: Call) -> None:
        """See that the server has a command with these parameters and responses; sends nothing.

        Raises:
            NeedsOperator: it has not; says what it has.
        """
        wrapped = self._command(call)._wrapped_command
        self._compare("parameter", call, set(call.parameters), {f._identifier for f in wrapped.parameters.fields})
        has = {f._identifier for f in wrapped.responses.fields}
        self._compare("response", call, set(call.responses) | has, has)
        try:
            wrapped.parameters.to_message(**call.parameters)
        except Exception as error:  # the package raises whatever its field's type raises
            raise NeedsOperator(f"{_name(call)} does not take {dict(call.parameters)!r}: {error}") from error

    def is_observable(self, call: Call) -> bool:
        """Say whether the command has an execution that can be asked about."""
        return bool(type(self._command(call)).__name__ == "ClientObservableCommand")

    def start(self, call: Call, on_execution: Callable[[str], None], until: Deadline) -> str:
        """Have an observable command executed; return the execution's UUID.

        ``on_execution`` is told the UUID as soon as it is known, also when that is too late for this call.

        Raises:
            Refused, Failed, Transient.
        """

        def act() -> str:
            instance = self._command(call)(**call.parameters)
            instance.cancel_execution_info_subscription()
            on_execution(str(instance.execution_uuid))
            return str(instance.execution_uuid)

        return self._question(act, until)

    def perform(self, call: Call, until: Deadline) -> dict[str, Any]:
        """Have an unobservable command executed; return its responses.

        Raises:
            Refused, Failed, Transient.
        """
        return self._bounded(lambda: _plain(self._command(call)(**call.parameters)), until)

    def responses(self, call: Call, execution: str, until: Deadline) -> dict[str, Any] | None:
        """Return what an execution ended with; None while it runs.

        Raises:
            Failed: it ended with an error.
            NeedsOperator: the server does not know it any more.
            Transient: no answer.
        """
        try:
            return self._question(lambda: self._asked(call, execution), until)
        except _StillRunning:
            return None

    def read(self, feature: str, name: str, until: Deadline) -> Any:
        """Return the value of a property.

        Raises:
            DeviceError: there is no such property, or no answer.
        """
        found = getattr(self._feature(feature), name, None)
        if found is None:
            raise NeedsOperator(f"{self._address}: feature {feature} has no property {name}")
        return self._question(lambda: _json(found.get()), until)

    def identify(self, until: Deadline) -> Mapping[str, str]:
        """Return name, type, version and features of the server.

        Raises:
            DeviceError: no answer.
        """

        def act() -> dict[str, str]:
            service = self._client.SiLAService
            names = ("ServerName", "ServerType", "ServerVersion", "ServerVendorURL", "ServerUUID")
            said = {name: str(getattr(service, name).get()) for name in names}
            return {**said, "features": ", ".join(map(str, service.ImplementedFeatures.get()))}

        return self._question(act, until)

    def close(self) -> None:
        """Let go of the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        where, known = self._address, self._address.root_certificates
        client = importlib.import_module("sila2.client").SilaClient
        return client(where.host, where.port, root_certs=known, insecure=known is None)

    def _feature(self, name: str) -> Any:
        found = self._client._features.get(name)
        if found is None:
            raise NeedsOperator(f"{self._address} has no feature {name} (it has {', '.join(self._client._features)})")
        return found

    def _command(self, call: Call) -> Any:
        commands = self._feature(call.feature)._client_commands
        if call.command not in commands:
            raise NeedsOperator(f"feature {call.feature} has no command {call.command} (it has {', '.join(commands)})")
        return commands[call.command]

    def _compare(self, what: str, call: Call, wanted: set[str], has: set[str]) -> None:
        if wanted != has:
            odd = ", ".join(sorted(wanted ^ has))
            raise NeedsOperator(f"{_name(call)} has {what}s {sorted(has)}; the mapping differs in {odd}")

    def _asked(self, call: Call, execution: str) -> dict[str, Any]:
        # as ClientObservableCommandInstance.get_responses, without the thread that such an instance starts
        command = self._command(call)
        feature, wrapped = command._parent_feature, command._wrapped_command
        message = feature._pb2_module.SiLAFramework__pb2.CommandExecutionUUID(value=execution)
        ask = getattr(feature._grpc_stub, f"{call.command}_Result")
        utils = importlib.import_module("sila2.client.utils")
        reply = utils.call_rpc_function(ask, message, metadata=None, client=self._client, origin=wrapped)
        return _plain(wrapped.responses.to_native_type(reply))

    def _question(self, act: Callable[[], _T], until: Deadline) -> _T:
        return self._bounded(act, until.within(self._reply_s))

    def _bounded(self, act: Callable[[], _T], until: Deadline) -> _T:
        """Run a call in a thread of its own, and give it up in time."""
        ended: queue.SimpleQueue[tuple[_T | None, Exception | None]] = queue.SimpleQueue()
        threading.Thread(target=lambda: ended.put(_caught(act)), daemon=True, name=str(self._address)).start()
        while True:
            left_s = until.left_s()
            try:
                value, error = ended.get(timeout=min(left_s, _LOOK_S))
            except queue.Empty:
                if left_s <= 0:
                    raise Transient(f"{self._address} did not answer in time") from None
                continue
            if error is not None:
                raise self._told(error) from error
            return value  # type: ignore[return-value]  # a value wherever there is no error

    def _told(self, error: Exception) -> DeviceError:
        """Say in our words what went wrong."""
        if isinstance(error, DeviceError):
            return error
        name, said = type(error).__name__, getattr(error, "message", None) or str(error) or repr(error)
        ancestors = {kind.__name__ for kind in type(error).__mro__}
        if name == "CommandExecutionNotFinished":
            return _StillRunning(said)
        if name == "InvalidCommandExecutionUUID":
            return NeedsOperator(f"{self._address} does not know the execution any more: {said}")
        if ancestors & {"ValidationError", "FrameworkError"}:
            return Refused(f"{self._address} refused: {name}: {said}")
        if "DefinedExecutionError" in ancestors:
            return Failed(f"{getattr(error, 'identifier', name)}: {said}")
        if "UndefinedExecutionError" in ancestors:
            return Failed(f"undefined error: {said}")
        return Transient(f"{self._address} does not answer as a SiLA server: {said}")


class _StillRunning(DeviceError):
    pass


def _caught(act: Callable[[], _T]) -> tuple[_T | None, Exception | None]:
    try:
        return act(), None
    except Exception as error:  # whatever a strange server's bytes make the package raise
        return None, error


def _plain(responses: Any) -> dict[str, Any]:
    """Return responses as JSON values, by name."""
    return {name: _json(value) for name, value in responses._asdict().items()}


def _json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str), parse_constant=str)


def _name(call: Call) -> str:
    return f"{call.feature}.{call.command}"
