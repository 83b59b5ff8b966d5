"""What lab.toml allows is what there is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from controller.lab import default_settings
from controller.settings import BeliefSection, PickingSection
from nextplate.acquisition import RULES, Knobs, rules
from nextplate.acquisition.replay import ReplayPlan
from nextplate.acquisition.rules.rule import BETA
from nextplate.models import KINDS
from nextplate.models.kinds import OF_IMAGES


def test_every_rule_and_every_kind_of_belief_can_be_named_in_lab_toml():
    assert [PickingSection(rule=name).rule for name in RULES] == list(RULES)
    asked = [BeliefSection(kind=name, profiles="p.csv" if name in OF_IMAGES else None).kind for name in KINDS]
    assert asked == list(KINDS)
    with pytest.raises(ValidationError, match="allowed: bald"):
        PickingSection(rule="crystal ball")
    with pytest.raises(ValidationError, match="allowed: lightgbm"):
        BeliefSection(kind="crystal ball")


def test_a_file_put_into_the_rules_is_a_rule():
    files = {f.stem.replace("_", "-") for f in Path(rules.__file__).parent.glob("*.py")} - {"--init--", "rule"}
    assert files == set(RULES)
    assert all(spec.name == name for name, spec in RULES.items())
    assert [name for name, spec in RULES.items() if spec.wants_draws] == ["bald", "thompson", "top-k"]


def test_what_a_lab_and_a_replay_take_for_granted_is_one_value():
    assert PickingSection().beta == ReplayPlan("auto", 1, 1, 1, 1).beta == Knobs(0.0).beta == BETA
    assert f"beta = {BETA}\n" in default_settings()


def test_the_rules_are_loaded_by_what_scores_and_not_by_the_status():
    """nextplate status answers at once: it reads recipes, and no numbers."""
    loaded = "sys, controller.cli, controller.glimpse, controller.status, controller.recipe"
    code = f"import {loaded}; sys.exit(bool({{'numpy', 'ortools', 'pandas'}} & set(sys.modules)))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=env).returncode == 0
