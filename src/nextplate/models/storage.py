"""Beliefs on disk: LightGBM's text and a JSON card that vouches for it. No pickle."""

import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from nextplate import __version__
from nextplate.errors import DataError, DiskFull, ModelError
from nextplate.models.belief import Belief

FORMAT = "nextplate-belief-1"
_NEEDED = frozenset(
    ("columns", "n_columns", "level", "level_spread", "n_labels", "seed", "data_digest", "notes", "sha256")
)


def save(
    belief: Belief,
    folder: Path,
    *,
    params: Mapping[str, Any] | None = None,
    feature_names: Sequence[str] = (),
    metrics: Mapping[str, float] | None = None,
) -> None:
    """Write a belief to a new folder, whole or not at all: member_0.txt, ... and card.json.

    Args:
        belief: of ``fit``.
        folder: must not exist yet; equal beliefs give byte-identical folders.
        params: said in the card beside LightGBM's own (which its text holds).
        feature_names: of the design matrix (``column_names``); the card names those the members see.
        metrics: e.g. out-of-fold errors; a value that is not finite is written as null.

    Raises:
        ModelError: the folder exists.
        DiskFull: no room; nothing is left behind.
    """
    if folder.exists():
        raise ModelError(f"{folder}: exists already; a belief is never overwritten")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        temporary.chmod(0o755)
        _write(belief, temporary, params or {}, feature_names, metrics or {})
        temporary.replace(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{folder}: the disk is full; free some space and run the step again") from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(
    belief: Belief,
    folder: Path,
    params: Mapping[str, Any],
    feature_names: Sequence[str],
    metrics: Mapping[str, float],
) -> None:
    texts = {f"member_{i}.txt": member.model_to_string() for i, member in enumerate(belief.members)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    card = {
        "format": FORMAT,
        "nextplate": __version__,
        "lightgbm": lgb.__version__,
        "columns": belief.columns.tolist(),
        "features": [feature_names[i] for i in belief.columns] if feature_names else None,
        "n_columns": belief.n_columns,
        "level": belief.level,
        "level_spread": belief.level_spread,
        "n_labels": belief.n_labels,
        "seed": belief.seed,
        "data_digest": belief.data_digest,
        "notes": list(belief.notes),
        "params": dict(params),
        "metrics": {k: v if np.isfinite(v) else None for k, v in metrics.items()},
        "sha256": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()},
    }
    (folder / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load(folder: Path) -> Belief:
    """Read a belief and check every file against the card.

    Raises:
        DataError: a file is missing, altered, or of another format.
    """
    card = _card(folder / "card.json")
    names = sorted(card["sha256"], key=lambda name: (len(name), name))
    return Belief(
        tuple(_member(folder / name, card["sha256"][name]) for name in names),
        np.asarray(card["columns"], dtype=np.intp),
        int(card["n_columns"]),
        float(card["level"]),
        float(card["level_spread"]),
        int(card["n_labels"]),
        int(card["seed"]),
        str(card["data_digest"]),
        tuple(card["notes"]),
    )


def _card(path: Path) -> Mapping[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); fit the belief again") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise DataError(f"{path}: is not of the format {FORMAT}; fit the belief again")
    if missing := _NEEDED - card.keys():
        raise DataError(f"{path}: lacks {', '.join(sorted(missing))}; fit the belief again")
    return card


def _member(path: Path, sha256: str) -> lgb.Booster:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); fit the belief again") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{path}: was altered since the belief was saved; fit the belief again")
    return lgb.Booster(model_str=data.decode())
