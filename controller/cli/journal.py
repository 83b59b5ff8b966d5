"""journal verify, export and bundle; replay-night."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli.common import HERE, JsonOption, LabOption, say

if TYPE_CHECKING:
    from controller.evidence.autopsy import Finding
    from controller.store.store import Store


def register(app: typer.Typer) -> None:
    """Add the commands."""
    journal = typer.Typer(no_args_is_help=True, help="The record of everything that happened.")
    journal.command("verify")(verify)
    journal.command("export")(export)
    journal.command("bundle")(bundle)
    app.add_typer(journal, name="journal")
    app.command("replay-night")(replay_night)


def verify(
    lab: LabOption = HERE,
    head: Annotated[
        str | None, typer.Option(help="SEQ:HASH of an event noted earlier: proves that nothing up to it is gone.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Check this exported file instead of a lab.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the journal's hash chain from the first event to the last; exit code 1 names what was changed.

    Example: nextplate journal verify

    Example: nextplate journal verify --head 91:c458adae07ddc44c
    """
    if file is not None:
        _verify_file(file, _noted(head), as_json)
        return
    from controller.evidence.autopsy import examine
    from controller.lab import open_lab
    from controller.store import open_store

    noted = _noted(head)
    with open_store(open_lab(lab).database) as store:
        finding = examine(store.rows())
        problem = _against(store, finding, noted) if noted and finding.is_intact else finding.what
    body = {"events": finding.head.seq, "hash": finding.head.hash, "intact": not problem}
    if problem:
        body |= {"problem": problem, "event": finding.seq, "changed": list(finding.columns), "was": finding.was}
        text = f"BROKEN: {problem}\nthe {finding.head.seq} events before it hold together"
    else:
        text = f"intact: {finding.head.seq} events, the last has hash {finding.head.hash}"
    say(body, text, as_json)
    raise typer.Exit(1 if problem else 0)


def _noted(text: str | None) -> tuple[int, str] | None:
    """Read SEQ:HASH; a hash may be its beginning, as commands print it."""
    if text is None:
        return None
    from nextplate.errors import DataError

    seq, colon, digest = text.partition(":")
    if not (colon and seq.isdecimal() and len(digest) >= 8):
        raise DataError(f"--head {text}: write number and hash of an event, as in 91:c458adae07ddc44c")
    return int(seq), digest.lower()


def _against(store: "Store", finding: "Finding", noted: tuple[int, str]) -> str:
    seq, digest = noted
    if seq > finding.head.seq:
        return f"the journal ends with event {finding.head.seq}; event {seq}, noted earlier, is gone"
    row = next(iter(store.rows(seq - 1)), None) if seq else None
    if row is None or not row.hash.startswith(digest):
        return f"journal event {seq} is not the one noted earlier: the journal was rewritten"
    return ""


def _verify_file(file: Path, noted: tuple[int, str] | None, as_json: bool) -> None:
    from controller.evidence.exporting import check_export

    found = check_export(file, noted)
    body = {"events": found.n_events, "journal_seq": found.head.seq, "hash": found.head.hash, "intact": True}
    body |= {"campaign": found.campaign, "left_out": found.n_left_out}
    whose = f" of campaign {found.campaign}, {found.n_left_out} of others left out" if found.campaign else ""
    say(
        body, f"intact: {found.n_events} events{whose}; the last, {found.head.seq}, has hash {found.head.hash}", as_json
    )


def export(
    file: Annotated[Path, typer.Argument(help="File to write; it appears whole or not at all.")],
    campaign: Annotated[str | None, typer.Option(help="Only this campaign's events.")] = None,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Write the journal as lines of JSON, one event a line; `journal verify --file` checks such a file anywhere.

    Of another campaign's events number and hash are written, so that the chain still holds from the first to the last.

    Example: nextplate journal export night.jsonl --campaign first
    """
    from controller.evidence.exporting import export_journal
    from controller.lab import open_lab
    from controller.store import open_store

    with open_store(open_lab(lab).database) as store:
        done = export_journal(store.rows(), file, campaign)
    body = {"file": str(file), "events": done.n_events, "journal_seq": done.head.seq, "journal_hash": done.head.hash}
    text = f"wrote {done.n_events} events to {file}; the journal ends with {done.head.seq}:{done.head.hash}"
    say(body, text, as_json)


def bundle(
    file: Annotated[Path, typer.Argument(help="Zip file to write, or with --check to read.")],
    check: Annotated[bool, typer.Option("--check", help="Check a bundle against its manifest instead.")] = False,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Put everything that tells what happened into one file for somebody else: journal, settings without secrets,
    wire logs, step records, protocols, versions, status.

    Example: nextplate journal bundle night.zip

    Example: nextplate journal bundle night.zip --check
    """
    from controller.evidence.bundle import check_bundle

    made = check_bundle(file) if check else _make_bundle(lab, file)
    body = {"file": str(file), "files": made.n_files, "bytes": made.n_bytes, "left_out": list(made.left_out)}
    verb = "every file is as the manifest says" if check else "wrote"
    text = f"{verb} {file}: " if not check else f"{file}: {verb}: "
    text += f"{made.n_files} files, {made.n_bytes / 1e6:.1f} MB unpacked"
    say(body, "\n".join([text, *(f"left out: {one}" for one in made.left_out)]), as_json)


def _make_bundle(lab: Path, file: Path) -> Any:
    from controller.clock import WallClock
    from controller.evidence.autopsy import examine
    from controller.evidence.bundle import make_bundle
    from controller.lab import open_lab
    from controller.store import open_store

    opened = open_lab(lab)
    with open_store(opened.database) as store:
        finding = examine(store.rows())
        about = {"journal-check": _check_body(finding), "status": _status(store, finding)}
        return make_bundle(opened.folder, file, store.rows(), about, WallClock().now())


def _check_body(finding: "Finding") -> dict[str, Any]:
    return {"intact": finding.is_intact, "events": finding.head.seq, "hash": finding.head.hash, "problem": finding.what}


def _status(store: "Store", finding: "Finding") -> dict[str, Any]:
    from controller.state import fold
    from controller.status import status_body

    if not finding.is_intact:
        return {"unknown": "the journal is broken; nothing is concluded from it"}
    events = list(store.events())
    return status_body(fold(events), *finding.head, events[-1].time if events else None)


def replay_night(
    campaign: Annotated[str | None, typer.Option(help="Its name.", show_default="the last one")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the repetition as a lab in this new folder.", show_default="thrown away")
    ] = None,
    lab: LabOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Run the same night again in the simulator, and tell where reality and simulation part.

    The same seed and settings, simulated devices, virtual time; the lab itself is only read. Exit code 0 also where
    they part: the difference is the answer.

    Example: nextplate replay-night --lab mylab
    """
    import tempfile

    from controller.evidence.parting import part, parting_body, parting_text, run_of
    from controller.evidence.rehearsal import rehearse
    from controller.lab import open_lab
    from controller.store import open_store

    opened = open_lab(lab)
    with tempfile.TemporaryDirectory(prefix="nextplate-replay-") as scratch, open_store(opened.database) as store:
        done = rehearse(opened, store, keep or Path(scratch) / "lab", campaign)
    parting = part(run_of(done.real), run_of(done.simulated))
    body = {"campaign": done.campaign, **parting_body(parting), "kept": str(keep) if keep else None}
    text = f"campaign {done.campaign}: {parting_text(parting)}"
    if done.was_adopted:
        text += "\nnote: lab.toml changed while the campaign ran; the repetition kept the settings it began with"
    text += "".join(f"\nnot repeated: {what}" for what in done.not_repeated)
    say(body | {"settings_adopted": done.was_adopted, "not_repeated": list(done.not_repeated)}, text, as_json)
