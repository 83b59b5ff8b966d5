"""What lab.toml allows is what there is."""

from typing import get_args

from controller.settings import BeliefSection, PickingSection
from nextplate.acquisition import RULES
from nextplate.models import KINDS


def test_every_rule_and_every_kind_of_belief_can_be_named_in_lab_toml():
    assert get_args(PickingSection.model_fields["rule"].annotation) == tuple(RULES)
    assert get_args(BeliefSection.model_fields["kind"].annotation) == tuple(KINDS)
