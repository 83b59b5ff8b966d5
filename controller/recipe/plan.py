"""The plan of a campaign: the settings it was started with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from controller.state import LabState
from nextplate.errors import PlanError


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings a campaign was started with, as decide needs them."""

    name: str
    seed: int
    rounds: int
    settings: Mapping[str, Any]
    """The JSON form of controller.settings.Settings."""

    def section(self, name: str) -> Mapping[str, Any]:
        """Return one table of the settings."""
        table: Mapping[str, Any] = self.settings[name]
        return table

    @property
    def incubation(self) -> timedelta:
        """Time between the plate's entry into the incubator and its fetch."""
        return timedelta(hours=self.section("assay")["incubation_h"])

    @property
    def tolerance(self) -> timedelta | None:
        """By how much a plate may incubate too long; None: nobody cares."""
        minutes: float | None = self.section("assay").get("incubation_tolerance_min")
        return None if minutes is None else timedelta(minutes=minutes)


def running_plans(state: LabState) -> tuple[Plan, ...]:
    """Return the plans of all campaigns that are not over."""
    return tuple(plan_of(state.focused(name)) for name, campaign in state.campaigns.items() if not campaign.is_over)


def plan_of(state: LabState) -> Plan:
    """Return the plan of the state's campaign, by the settings it was started with.

    Raises:
        PlanError: there is none.
    """
    if state.campaign is None:
        raise PlanError("no campaign has been started; start one with: nextplate run")
    c = state.campaign
    return Plan(c.name, c.seed, c.rounds, c.settings)
