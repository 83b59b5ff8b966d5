"""What OMERO's driver believes of replies, and which options it takes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omero_rig import OPTIONS, OmeroLab, with_a_plate

from drivers import omero, omero_words
from drivers.deadline import Deadline
from drivers.http_body import as_json
from drivers.omero_plate import Options
from drivers.wire import Garbled
from nextplate.errors import NeedsOperator, SettingsError

pytestmark = pytest.mark.usefixtures("no_power_cuts")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[OmeroLab]:
    yield from with_a_plate(tmp_path)


# parsers

COUNT = pytest.mark.parametrize("n", [2_000, pytest.param(10_000, marks=pytest.mark.long)])
READ: dict[str, Callable[[Any, str], Any]] = {
    "/api/v0/m/plates/?limit=5": omero_words.listed,
    "/api/v0/m/plates/{plate}/wells/": omero_words.listed,
    "/api/v0/m/images/{image}/": omero_words.image,
    "/webclient/api/annotations/?type=map&plate={plate}": omero_words.notes,
    "/api/v0/token/": omero_words.token,
    "/api/v0/servers/": lambda body, asked: omero_words.server_id(body, "", asked),
}


@COUNT
@pytest.mark.parametrize("target", list(READ))
def test_parsers_believe_only_what_is_of_the_api(target: str, n: int, lab: OmeroLab):
    lab.emulator.is_public = True
    plate = lab.store.add_plate("P1", n_fields=2, runs=(71,), acquired_ms=1_767_600_000_000)
    lab.store.annotate("PlateI", plate.id, ("Barcode", "P1"))
    path = target.format(plate=plate.id, image=plate.wells[0].images[0].id)
    good = lab.wire.request("GET", path, Deadline.after(5.0)).body
    read, rng, n_good, n_bad = READ[target], np.random.default_rng(1), 0, 0
    read(as_json(good, "q"), "q")
    for k in range(n):
        try:
            body = as_json(_mutated(good, rng) if k % 10 else rng.bytes(int(rng.integers(200))), "q")
            said = read(body, "q")
            if target.endswith("/wells/"):
                said = [omero_words.well(item, "q") for item in said.items]
            elif "plates" in target and "wells" not in target and isinstance(said, omero_words.Listed):
                said = [omero_words.plate(item, "q") for item in said.items]
        except (Garbled, NeedsOperator):
            n_bad += 1
            continue
        n_good += 1
        _plausible(said)
    assert n_good > n // 50
    assert n_bad > n // 10


def _mutated(good: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.5:
        text = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            text[rng.integers(len(text))] = rng.integers(256)
        return bytes(text[: rng.integers(len(text))]) if rng.random() < 0.2 else bytes(text)
    body = json.loads(good)
    holder: Any = body
    while True:
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        if not keys:
            break
        key = keys[rng.integers(len(keys))]
        if isinstance(holder[key], dict | list) and holder[key] and rng.random() < 0.8:
            holder = holder[key]
            continue
        odd = (None, -1, 0, 2**70, True, "x", [], {}, 1.5, [[]], "\u202e", 10**9, [None])
        holder[key] = odd[rng.integers(len(odd))]
        break
    return json.dumps(body).encode()


def _plausible(said: Any) -> None:
    """Hold what was believed against what can be."""
    match said:
        case omero_words.Listed():
            assert said.total >= 0
            assert said.offset >= 0
        case omero_words.Image():
            assert said.id >= 1
            if said.kind is not None:
                assert min(said.kind.width, said.kind.height, said.kind.n_planes) >= 1
                assert len(set(said.kind.channels)) == len(said.kind.channels)
        case list():
            for each in said:
                assert each.id >= 1
                if isinstance(each, omero_words.Well):
                    assert 0 <= each.row < 32
                    assert 0 <= each.column < 48
        case tuple():
            for note in said:
                assert all(isinstance(text, str) for pair in note.values for text in pair)
        case str():
            assert said.isalnum()
        case _:
            assert isinstance(said, int)


# options


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("shaker", {}, "driver 'omero' is for an imager"),
        ("imager", {}, "option 'url' is missing"),
        ("imager", {"url": "ftp://h"}, "option url"),
        ("imager", {"url": "http://lab:pw@h"}, "belong in no settings"),
        ("imager", {"url": "http://h", "user": "lab"}, "password_env"),
        ("imager", {"url": "http://h", "user": "lab", "password_env": "A", "password_file": "b"}, "password_env"),
        ("imager", {"url": "http://h", "password_env": "A"}, "no user"),
        ("imager", {"url": "http://h", "password": "secret"}, "'password' is no option"),
        ("imager", {"url": "http://h", "wells": 97}, "option wells = 97"),
        ("imager", {"url": "http://h", "settle_s": -1.0}, "option settle_s"),
        ("imager", {"url": "http://h", "timeout_h": float("nan")}, "option timeout_h"),
    ],
)
def test_a_wrong_option_is_named(kind: str, options: dict[str, Any], said: str, tmp_path: Path):
    with pytest.raises(SettingsError) as caught:
        omero.make(kind, options, tmp_path)
    assert said in str(caught.value)


def test_the_driver_is_made_from_a_table_of_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lab = OmeroLab(tmp_path)
    monkeypatch.setenv("OMERO_PASSWORD", lab.password)
    said = {"url": lab.server.url, "user": "lab", "password_env": "OMERO_PASSWORD", "group": "Screening", "wells": 96}
    device = omero.make("imager", said, lab.lab)
    assert device.inspect(5.0)["plates"] == 0
    monkeypatch.delenv("OMERO_PASSWORD")
    lab.emulator.forget_sessions()
    with pytest.raises(NeedsOperator, match="OMERO_PASSWORD"):
        device.inspect(5.0)
    device.close()
    lab.close()


@pytest.mark.parametrize(
    ("arrange", "said"),
    [
        ({"dtype": "float32"}, "pixels of type float"),
        ({"wells": ()}, "has the pixels of 0 of 0 images"),
        ({"image_s": 1e9}, "has the pixels of 0 of 0 images"),
        ({"shape": (400, 400)}, "option max_image_mb allows fewer"),
    ],
)
def test_a_plate_that_is_asked_for_by_number_is_whole_or_refused(arrange: dict[str, Any], said: str, tmp_path: Path):
    lab = OmeroLab(tmp_path)
    lab.emulator.is_public = True
    plate = lab.store.add_plate("P1", **arrange)
    device = omero.make("imager", {"url": lab.server.url, "max_image_mb": 0.1}, lab.lab)
    with pytest.raises(NeedsOperator, match=said):
        device.fetch(plate.id, 5.0)
    with pytest.raises(NeedsOperator, match="there is no plate 7 in OMERO that the public may see"):
        device.fetch(7, 5.0)
    assert lab.runs() == 0
    device.close()
    lab.close()


def test_a_password_file_that_others_may_read_is_not_read(tmp_path: Path):
    lab = OmeroLab(tmp_path)
    secret = lab.lab / "omero.password"
    secret.write_text(lab.password + "\n", encoding="utf-8")
    secret.chmod(0o644)
    device = omero.make("imager", {"url": lab.server.url, "user": "lab", "password_file": "omero.password"}, lab.lab)
    with pytest.raises(NeedsOperator, match="chmod 600"):
        device.inspect(5.0)
    secret.chmod(0o600)
    assert device.inspect(5.0)["user"] == "lab"
    device.close()
    lab.close()


def test_where_nothing_is_said_of_a_whole_plate_it_rests_longer():
    assert Options(settle_s=60.0).rest_s == 600.0
    assert replace(OPTIONS, settle_s=60.0).rest_s == 60.0
