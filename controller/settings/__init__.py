"""lab.toml: the settings of a lab, validated; an error names file, line, key, value found and values allowed."""

from controller.settings.assay import AssaySection, CampaignSection, LabSection, PlateSection, ReadoutSection
from controller.settings.choosing import BeliefSection, BudgetSection, PickingSection
from controller.settings.devices import DeviceKind, DeviceSection, SimFaults, SimSection
from controller.settings.loading import load_campaigns, load_settings
from controller.settings.nightly import NightlySection
from controller.settings.running import ApprovalSection, CostSection, FaultsSection, ProofSection
from controller.settings.section import Section
from controller.settings.telling import (
    ChannelSection,
    EscalationStep,
    LogsSection,
    MessageKind,
    MetricsSection,
    NotificationsSection,
    QuietSection,
)
from controller.settings.whole import Settings, deck_of

__all__ = [
    "ApprovalSection",
    "AssaySection",
    "BeliefSection",
    "BudgetSection",
    "CampaignSection",
    "ChannelSection",
    "CostSection",
    "DeviceKind",
    "DeviceSection",
    "EscalationStep",
    "FaultsSection",
    "LabSection",
    "LogsSection",
    "MessageKind",
    "MetricsSection",
    "NightlySection",
    "NotificationsSection",
    "PickingSection",
    "PlateSection",
    "ProofSection",
    "QuietSection",
    "ReadoutSection",
    "Section",
    "Settings",
    "SimFaults",
    "SimSection",
    "deck_of",
    "load_campaigns",
    "load_settings",
]
