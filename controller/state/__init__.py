"""LabState: what the journal says is so, as one frozen value folded from its events.

One journal serves a whole lab. What devices did and where plates stand belongs to the lab; rounds, approvals and how
a campaign stands belong to that campaign. A state looks at one campaign at a time, at first the one started last;
``focused`` turns it to another.

Event kinds, in the order a round meets them:

=================  =========================================================================================
library.added      library: digest of a library that was registered
stock.added        source wells were registered
stock.care         thaws, expiry and evaporation of source plates were told
tips.added         tip racks were registered
spares.added       plates (barcodes) and labware of empty plates for dilutions
campaign.started   name, seed, rounds, library digest and the settings that shape decisions
settings.adopted   settings: what lab.toml may change while a campaign runs was changed
controller.started settings (digest), stations: a process took over; with attempt and accepted, the kinds in which a
                   disturbed run may differ
settings.changed   digest, differs, mistake: lab.toml is other than when the night began, which goes on as it began
device.suspended   device, reading, value, band: a sensor is out of its band; the device is given nothing new
device.resumed     likewise: it is back in its band
intent             key, task, round, action: written and committed before anything is tried
attempt            key, message: the device refused or its reply was lost; the same key is tried again
accepted           key: the device has it; from here on it may not say that it never had
outcome            key, status (done | failed), result, message; ended and ended_by (device | usual): when it ended,
                   where nobody was looking then
decision           what (approve | reject | pause | resume | abort | answer | rollback), by whom, about which round or
                   fault; an approval with the digest of what was approved; an answer also with wait_s (wait), or with
                   arrived: plates that were moved (half-done)
decision.refused   a decision that came too late or made no sense, with the reason
proposal           round, question, digest, summary, held: a round is planned and proven, and waits for approval
fault              fault, key, question, choices: a person is asked
campaign.finished  the last event of a campaign
=================  =========================================================================================
"""

from controller.state.folding import fold
from controller.state.nouns import (
    AGAIN,
    Approval,
    Campaign,
    EventLike,
    Fault,
    Intent,
    LabState,
    Outcome,
    Proposal,
    task_key,
)

__all__ = [
    "AGAIN",
    "Approval",
    "Campaign",
    "EventLike",
    "Fault",
    "Intent",
    "LabState",
    "Outcome",
    "Proposal",
    "fold",
    "task_key",
]
