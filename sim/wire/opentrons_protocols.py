"""The protocols and data files that the emulated Opentrons keeps, and their analyses.

Sources: facts/robots.md section 3; the vendor's robot-server (protocols/router.py): equal bytes answer 200 with the
old resource, 503 while its last analysis is pending, old unused protocols go when there are too many.
"""

import hashlib
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from sim.wire.http_server import HttpReply, HttpRequest
from sim.wire.opentrons_analysis import EngineLoop, analyze, failed_analysis, read_protocol
from sim.wire.opentrons_engine import RobotModel
from sim.wire.opentrons_http import ApiError, Part, body_data, field_text, form_parts, invalid, json_object, many, one


def new_id() -> str:
    """Return an id as the robot makes them."""
    return str(uuid.uuid4())


def now_text() -> str:
    """Return the robot's time as its JSON has it."""
    return datetime.now(UTC).isoformat()


@dataclass(slots=True)
class DataFile:
    """A CSV file on the robot."""

    id: str
    name: str
    created_at: str
    digest: str
    path: Path

    def to_json(self) -> dict[str, Any]:
        """Return it as the robot does."""
        return {"id": self.id, "name": self.name, "createdAt": self.created_at, "source": "uploaded"}


@dataclass(slots=True)
class Analysis:
    """One analysis; `result` None: pending."""

    id: str
    parameters: tuple[str, str]
    result: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as the robot does."""
        if self.result is None:
            return {"id": self.id, "status": "pending"}
        return {"id": self.id, "status": "completed", **self.result}

    def summary(self) -> dict[str, Any]:
        """Return it without its contents."""
        return {"id": self.id, "status": "pending" if self.result is None else "completed"}


@dataclass(slots=True)
class StoredProtocol:
    """A protocol on the robot."""

    id: str
    created_at: str
    key: str | None
    kind: str
    digest: str
    source: Any
    analyses: list[Analysis] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as the robot does."""
        files = [{"name": each.path.name, "role": each.role.value} for each in self.source.files]
        data = {
            "id": self.id,
            "createdAt": self.created_at,
            "files": files,
            "protocolType": self.source.config.protocol_type.value,
            "robotType": self.source.robot_type,
            "metadata": self.source.metadata,
            "analyses": [],
            "analysisSummaries": [each.summary() for each in self.analyses],
            "protocolKind": self.kind,
        }
        return data if self.key is None else {**data, "key": self.key}


@dataclass(slots=True)
class ProtocolShelf:
    """All protocols and data files of one robot; the robot's lock is held by whoever calls."""

    model: RobotModel
    folder: Path
    loop: EngineLoop
    max_unused: int = 5
    analysis_s: float = 0.0
    """So long an analysis lasts at least, of the wall's clock."""
    is_disk_full: bool = False
    files: dict[str, DataFile] = field(default_factory=dict)
    protocols: dict[str, StoredProtocol] = field(default_factory=dict)
    _known: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)

    def upload_file(self, request: HttpRequest) -> HttpReply:
        """POST /dataFiles."""
        part = next((part for part in form_parts(request) if part.name == "file" and part.filename), None)
        if part is None or part.filename is None:
            raise invalid("Field required: file")
        name = _safe_name(part.filename)
        if not name.lower().endswith(".csv"):
            raise ApiError(422, "UnexpectedFileFormat", "Unexpected file format", "Only .csv files are accepted.")
        digest = hashlib.sha256(name.encode() + b"\0" + part.content).hexdigest()
        if known := next((each for each in self.files.values() if each.digest == digest), None):
            return one(known.to_json())
        made = DataFile(new_id(), name, now_text(), digest, self.folder / "data" / new_id() / name)
        self._write(made.path, part.content)
        self.files[made.id] = made
        return one(made.to_json(), status=201)

    def file(self, file_id: str) -> DataFile:
        """Return a data file; raises ApiError 404."""
        if file_id not in self.files:
            raise ApiError(404, "FileIdNotFound", "Specified file id not found", f"Data file {file_id} was not found.")
        return self.files[file_id]

    def protocol(self, protocol_id: str) -> StoredProtocol:
        """Return a protocol; raises ApiError 404."""
        if protocol_id not in self.protocols:
            detail = f"Protocol {protocol_id} was not found."
            raise ApiError(404, "ProtocolNotFound", "Protocol Not Found", detail)
        return self.protocols[protocol_id]

    def upload(self, request: HttpRequest, used: set[str]) -> HttpReply:
        """POST /protocols; protocols that runs use are never deleted to make room."""
        parts = form_parts(request)
        files = [part for part in parts if part.name == "files" and part.filename]
        if not files:
            raise invalid("Field required: files")
        values = json_object(field_text(parts, "runTimeParameterValues"), "runTimeParameterValues")
        csv_ids = json_object(field_text(parts, "runTimeParameterFiles"), "runTimeParameterFiles")
        csv_paths = self.csv_paths(csv_ids)
        digest = _digest(files)
        known = next((each for each in self.protocols.values() if each.digest == digest), None)
        if known is not None:
            self._analyze_again(known, values, csv_ids, csv_paths)
            return one(known.to_json())
        protocol = self._store(files, field_text(parts, "key"), field_text(parts, "protocolKind"), digest)
        self._make_room(used)
        self.protocols[protocol.id] = protocol
        self.start_analysis(protocol, values, csv_ids, csv_paths)
        return one(protocol.to_json(), status=201)

    def csv_paths(self, csv_ids: Mapping[str, Any]) -> dict[str, Path]:
        """Return where the CSV files of parameters lie; raises ApiError 404 for an unknown id."""
        return {str(name): self.file(str(file_id)).path for name, file_id in csv_ids.items()}

    def _store(self, files: list[Part], key: str | None, kind: str | None, digest: str) -> StoredProtocol:
        protocol_id = new_id()
        folder = self.folder / "protocols" / protocol_id
        paths = [folder / _safe_name(part.filename or "") for part in files]
        for path, part in zip(paths, files, strict=True):
            self._write(path, part.content)
        try:
            source = self.loop.call(read_protocol(paths, folder))
        except Exception as error:
            raise ApiError(422, "ProtocolFilesInvalid", "Protocol File(s) Invalid", str(error)) from error
        if source.robot_type != self.model:
            detail = f"This protocol is for {source.robot_type} robots; this robot is {self.model}."
            raise ApiError(422, "ProtocolRobotTypeMismatch", "Protocol For Different Robot Type", detail)
        return StoredProtocol(protocol_id, now_text(), key, kind or "standard", digest, source)

    def _analyze_again(
        self, protocol: StoredProtocol, values: Mapping[str, Any], csv_ids: Mapping[str, Any], csv: Mapping[str, Path]
    ) -> None:
        last = protocol.analyses[-1] if protocol.analyses else None
        if last is not None and last.result is None:
            detail = f"Analysis {last.id} is still pending."
            raise ApiError(503, "LastAnalysisPending", "Last Analysis Still Pending.", detail)
        if last is None or last.parameters != _parameters(values, csv_ids):
            self.start_analysis(protocol, values, csv_ids, csv)

    def start_analysis(
        self, protocol: StoredProtocol, values: Mapping[str, Any], csv_ids: Mapping[str, Any], csv: Mapping[str, Path]
    ) -> Analysis:
        """Begin an analysis in a thread of its own and return it, pending."""
        analysis = Analysis(new_id(), _parameters(values, csv_ids))
        protocol.analyses.append(analysis)
        work = (protocol, analysis, dict(values), dict(csv))
        threading.Thread(target=self._analyze, args=work, daemon=True, name="opentrons analysis").start()
        return analysis

    def _analyze(
        self, protocol: StoredProtocol, analysis: Analysis, values: dict[str, Any], csv: dict[str, Path]
    ) -> None:
        time.sleep(self.analysis_s)
        known = (protocol.digest, *analysis.parameters)
        if known not in self._known:
            self._known[known] = _whatever_happens(protocol.source, values, csv)
        analysis.result = self._known[known]

    def _make_room(self, used: set[str]) -> None:
        unused = [each for each in self.protocols if each not in used]
        for old in unused[: max(0, len(unused) - self.max_unused + 1)]:
            del self.protocols[old]

    def _write(self, path: Path, content: bytes) -> None:
        if self.is_disk_full:
            raise OSError(28, "No space left on device")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def analyses(self, protocol_id: str) -> HttpReply:
        """GET /protocols/{id}/analyses."""
        return many([each.to_json() for each in self.protocol(protocol_id).analyses])

    def ask_analysis(self, protocol_id: str, request: HttpRequest) -> HttpReply:
        """POST /protocols/{id}/analyses: a new one (201) for other parameters or on demand, else the old (200)."""
        protocol, data = self.protocol(protocol_id), body_data(request, is_optional=True)
        values, csv_ids = data.get("runTimeParameterValues") or {}, data.get("runTimeParameterFiles") or {}
        if not isinstance(values, dict) or not isinstance(csv_ids, dict):
            raise invalid("/data/runTimeParameterValues, runTimeParameterFiles: no objects")
        n_before = len(protocol.analyses)
        self._analyze_again(protocol, values, csv_ids, self.csv_paths(csv_ids))
        if data.get("forceReAnalyze") is True and len(protocol.analyses) == n_before:
            self.start_analysis(protocol, values, csv_ids, self.csv_paths(csv_ids))
        status = 201 if len(protocol.analyses) > n_before else 200
        return many([each.summary() for each in protocol.analyses], status=status)

    def analysis(self, protocol_id: str, analysis_id: str) -> HttpReply:
        """GET /protocols/{id}/analyses/{id}."""
        for each in self.protocol(protocol_id).analyses:
            if each.id == analysis_id:
                return one(each.to_json())
        detail = f"Analysis {analysis_id} was not found."
        raise ApiError(404, "AnalysisNotFound", "Protocol Analysis Not Found", detail)

    def power_cycle(self) -> None:
        """Keep files and protocols; pending analyses are lost."""
        for protocol in self.protocols.values():
            protocol.analyses = [each for each in protocol.analyses if each.result is not None]


def _whatever_happens(source: Any, values: dict[str, Any], csv: dict[str, Path]) -> dict[str, Any]:
    """Analyze; an analysis that breaks down is completed too, and not ok."""
    try:
        return analyze(source, values, csv)
    except Exception as error:
        return failed_analysis(error)


def _parameters(values: Mapping[str, Any], csv_ids: Mapping[str, Any]) -> tuple[str, str]:
    return repr(sorted(values.items())), repr(sorted(csv_ids.items()))


def _digest(files: list[Part]) -> str:
    digest = hashlib.sha256()
    for part in sorted(files, key=lambda part: part.filename or ""):
        digest.update(f"{part.filename}\0{len(part.content)}\0".encode() + part.content)
    return digest.hexdigest()


def _safe_name(filename: str) -> str:
    """Return a name that stays in its folder; raises ApiError 422 for one that has nothing left or is too long."""
    name = PurePosixPath(filename.replace("\\", "/")).name.replace("\0", "")
    if name in ("", ".", "..") or len(name.encode("utf-8", "replace")) > 200:
        raise invalid(f"no file can have the name {filename!r}")
    return name
