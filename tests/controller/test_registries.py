"""What lab.toml allows is what there is."""

from typing import get_args

import pytest
from pydantic import ValidationError

from controller.settings import BeliefSection, PickingSection
from nextplate.acquisition import RULES
from nextplate.models import KINDS
from nextplate.models.kinds import OF_IMAGES


def test_every_rule_and_every_kind_of_belief_can_be_named_in_lab_toml():
    assert get_args(PickingSection.model_fields["rule"].annotation) == tuple(RULES)
    assert [BeliefSection(kind=name, profiles="p.csv" if name in OF_IMAGES else None).kind for name in KINDS] == list(
        KINDS
    )
    with pytest.raises(ValidationError, match="allowed: lightgbm"):
        BeliefSection(kind="crystal ball")
