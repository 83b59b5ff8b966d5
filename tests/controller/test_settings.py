"""lab.toml: every mistake is told with file, line, key, the value found and what is allowed."""

from pathlib import Path

import pytest

from controller.lab import default_settings
from controller.settings import Settings, load_settings
from nextplate.errors import SettingsError
from nextplate.models.funnel import N_LOT, N_PASSED

LAB_OF_FOUR = "".join(
    f'[[device]]\nname = "{name}"\nkind = "{kind}"\ndriver = "DRIVER"\n' + ('robot = "ot2"\n' if name == "a" else "")
    for name, kind in zip("abcd", ("liquid-handler", "plate-mover", "incubator", "imager"), strict=True)
)
CASES = [
    ("[assay]\ndose_uM = 10\n", "lab.toml:2: assay.dose_uM is not a setting; did you mean dose_um?"),
    ('[assay]\ntransfer_ul = "5 mL"\n', "lab.toml:2: assay.transfer_ul = '5 mL': input should be a valid number"),
    ("[assay]\ntransfer_nl = 5000\n", "did you mean transfer_ul?"),
    ("[plate]\n\nwells = 385\n", "lab.toml:3: plate.wells = 385: input should be 96 or 384"),
    ('[picking]\nrule = "best"\n', "lab.toml:2: picking.rule = 'best': there is no such rule (allowed: bald, ei"),
    ("[campain]\nrounds = 3\n", "campain is not a setting; did you mean campaign?"),
    ("[campaign]\nrounds = 0\n", "lab.toml:2: campaign.rounds = 0: input should be greater than or equal to 1"),
    ("[campaign]\nrounds = true\n", "campaign.rounds = True: input should be a valid integer"),
    (
        "[plate]\nn_negative = 200\nn_positive = 200\n",
        "lab.toml:1: plate: controls and confirmations take 416 of 384 wells",
    ),
    (
        "[sim.faults]\nclogged_tip = 2.0\n",
        "lab.toml:2: sim.faults.clogged_tip = 2.0: input should be less than or equal to 1",
    ),
    ("rounds = 3\n", "lab.toml:1: rounds is not a setting"),
    ("[lab\n", "not valid TOML"),
    (
        '[[device]]\nname = "a"\nkind = "imager"\n[[device]]\nname = "a"\nkind = "incubator"\n',
        "lab.toml:1: device: two devices are called 'a'; every device needs its own name",
    ),
    ('[[device]]\nname = "a"\nkind = "imager"\n[[device]]\nname = "b"\nkind = "robot"\n', "lab.toml:6: device.1.kind"),
    ('[[device]]\nname = "a"\nkind = "imager"\nrobot = "flex"\n', "robot is needed for a liquid-handler"),
    ('[[device]]\nname = "a"\nkind = "imager"\noptions = {x = 1}\n', "driver 'sim' takes no options; the table [sim]"),
    (
        '[[device]]\nname = "a"\nkind = "imager"\ndriver = "folder"\noptions = {x = [{ y = 1 }]}\n',
        "lab.toml:5: device.0.options",
    ),
    (
        LAB_OF_FOUR.replace("DRIVER", "folder", 1).replace("DRIVER", "sim"),
        "driver 'sim' for b, c, d cannot be mixed with a (folder): simulated devices live on virtual time",
    ),
    (
        '[belief]\nkind = "fusion"\n',
        "lab.toml:1: belief: kind = 'fusion' learns from image profiles, and none are named; add profiles =",
    ),
    (
        '[belief]\nkind = "gp"\nprofiles = "p.csv"\n',
        "lab.toml:1: belief: kind = 'gp' does not look at profiles; set kind to one of 'fusion', 'early-fusion'",
    ),
    ('[belief]\ncell_count = "n"\n', "kind = 'lightgbm' does not look at cell_count"),
    ("[assay]\ndose_um = inf\n", "lab.toml:2: assay.dose_um = inf: input should be a finite number"),
    ("[assay]\ntransfer_ul = 0.5\n", "transfer_ul = 0.5: flex_1channel_50 takes 1 to 50 microlitres"),
    ("[assay]\nwell_volume_ul = 110\n", "110 + 5 microlitres overfill a well of 112"),
    ("[plate]\nwells = 96\n", "'corning_384_wellplate_112ul_flat' is no known plate of 96 wells (allowed: corning_96"),
    ('[plate]\nlabware = "opentrons_flex_96_tiprack_50ul"\n', "is no known plate of 384 wells"),
    ('[assay]\npositive_control = "DMSO"\n', "both controls are 'DMSO'; give each its own liquid"),
    (
        '[readout]\n\npattern = "(?P<wel>.+)"\n',
        "lab.toml:3: readout.pattern = '(?P<wel>.+)': pattern names the groups",
    ),
    ('[readout]\npattern = "("\n', "lab.toml:2: readout.pattern = '(': pattern '(' is no regular expression"),
    (
        '[readout]\nfeatures = "shapes"\n',
        "lab.toml:2: readout.features = 'shapes': no group of features is called 'shapes'",
    ),
    ('[deck]\nblocked = ["Z9"]\n', "deck: flex has no slot Z9; it has"),
    ('[deck]\nmodules = { B1 = "blender" }\n', "deck: module 'blender' is not known; known are heater-shaker"),
    ('[deck]\nmodules = { A3 = "thermocycler" }\n', "deck: a thermocycler stands in A1, B1 of the flex, not in A3"),
    ("[deck]\nhand_finger_mm = 0\n", "lab.toml:2: deck.hand_finger_mm"),
    ('[readout]\nreader = "harmonie"\n', "readout.reader = 'harmonie': there is no such reader (allowed: imagexpress"),
    ('[readout]\nz = "top"\n', "lab.toml:2: readout.z = 'top': write 'projection', 'middle', 'max' or the number"),
    ("[readout]\nt = -1\n", "lab.toml:2: readout.t = -1: input should be greater than or equal to 0"),
    ('[readout]\nreader = "harmony"\npattern = "(?P<well>.+)"\n', "lab.toml:1: readout: reader and pattern are both"),
    (
        "[picking.budget]\nexploit = 0.5\n",
        "lab.toml:1: picking.budget: the shares add up to 0.5; they must add up to 1",
    ),
    (
        "[picking.budget]\nexploit = 1.2\n",
        "lab.toml:2: picking.budget.exploit = 1.2: input should be less than or equal",
    ),
    ("[picking.budget]\nexplit = 1.0\n", "picking.budget.explit is not a setting; did you mean exploit?"),
    (
        "[picking.budget]\nexploit = 0.9\ndose_response = 0.1\n",
        "picking.budget.dose_response needs assay.dose_series_um",
    ),
    ("[picking.budget]\nconfirm = 1.0\n", "picking.budget: the budget leaves no well for new compounds"),
    (
        "[picking.budget]\nexploit = 0.99\ncontrols = 0.01\n",
        "picking.budget: the budget leaves 2 negative and 2 positive control wells; 3 of each are needed",
    ),
    ("[assay]\ndose_series_um = [1.0, 10.0]\n", "a series of 2 doses gives no curve; name at least 5"),
    (
        "[assay]\ndose_series_um = [1.0, 10.0, 1.1, 3.0, 30.0]\n",
        "1 and 1.1 uM are too near: a stock well",
    ),
    (
        "[assay]\ndose_series_um = [1.0, 10.0, -1.0, 3.0, 30.0]\n",
        "lab.toml:2: assay.dose_series_um.2 = -1.0: ",
    ),
    ('[belief]\nviability = "model"\n', "belief.viability = 'model': input should be 'gate' or 'endpoint'"),
    ('[picking]\ngoal = "pareto"\n', "picking.goal = 'pareto' needs belief.viability = 'endpoint'"),
    ('[belief]\nreplicates = "mean"\n', "belief.replicates = 'mean': input should be 'count' or 'noise'"),
    ("[belief]\nn_passed = 0\n", "belief.n_passed = 0: input should be greater than or equal to 1"),
    ("[belief]\ncensored_above = 3.0\n", "belief.censored_above = 3.0: input should be less than or equal to 2"),
    (
        "[belief]\ncensored_above = 0.1\ncensored_below = 0.2\n",
        "belief: censored_below = 0.2 is not below censored_above = 0.1",
    ),
    ('[[device]]\nname = "a"\nkind = "imager"\n', "0 devices of kind 'liquid-handler'; exactly one is needed"),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[c[1][:40] for c in CASES])
def test_a_mistake_is_named(tmp_path: Path, text: str, expected: str):
    path = tmp_path / "lab.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_every_mistake_is_told_at_once(tmp_path: Path):
    path = tmp_path / "lab.toml"
    path.write_text('[plate]\nwells = 3\n[belief]\nconfidence = 90\n[lab]\nname = ""\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert len(str(caught.value).splitlines()) == 3


def test_the_file_that_init_writes_says_what_the_defaults_are(tmp_path: Path):
    path = tmp_path / "lab.toml"
    path.write_text(default_settings())
    assert load_settings(path) == Settings()


def test_what_init_writes_as_a_comment_is_allowed(tmp_path: Path):
    asked = ("dose_series_um", "[picking.budget]", "exploit", "explore", "confirm", "dose_response", "controls")
    asked += ("censored_above", "censored_below", "n_passed", "n_lot")
    lines = default_settings().splitlines()
    bare = [line[2:] if line.startswith(tuple(f"# {name}" for name in asked)) else line for line in lines]
    (tmp_path / "lab.toml").write_text("\n".join(bare))
    settings = load_settings(tmp_path / "lab.toml")
    assert settings.picking.budget is not None
    assert sum(settings.picking.budget.shares().values()) == pytest.approx(1)
    assert settings.assay.dose_series_um == (0.1, 0.3, 1.0, 3.0, 10.0)
    assert (settings.belief.censored_above, settings.belief.censored_below) == (1.5, -0.5)
    assert (settings.belief.n_passed, settings.belief.n_lot) == (N_PASSED, N_LOT), "as when they are left out"


def test_a_journal_knows_later_settings_only_where_they_are_used():
    plain = Settings().journal_body()
    assert not {"lab", "sim", "readout"} & plain.keys()
    assert "budget" not in plain["picking"]
    assert "dose_series_um" not in plain["assay"]
    assert plain["belief"] == {"kind": "lightgbm", "confidence": 0.9}
    used = Settings.model_validate({"belief": {"viability": "endpoint"}, "picking": {"budget": {"exploit": 1.0}}})
    assert used.journal_body()["belief"]["viability"] == "endpoint"
    assert used.journal_body()["picking"]["budget"]["exploit"] == 1.0
    assert Settings.model_validate(used.journal_body()) == used


@pytest.mark.parametrize("prefix", ["﻿", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path, prefix: str, end: str):
    path = tmp_path / "lab.toml"
    path.write_bytes((prefix + "[campaign]\nrounds = 7\n".replace("\n", end)).encode())
    assert load_settings(path).campaign.rounds == 7


def test_a_file_in_another_encoding_is_named(tmp_path: Path):
    path = tmp_path / "lab.toml"
    path.write_bytes(b'[lab]\nname = "l\xe4b"\n')
    with pytest.raises(SettingsError, match="not UTF-8 text"):
        load_settings(path)


def test_no_lab_there_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(SettingsError, match="make a lab with: nextplate init"):
        load_settings(tmp_path / "lab.toml")
