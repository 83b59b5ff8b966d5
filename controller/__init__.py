"""Everything impure: journal, loop, recovery, approvals, reports, CLI, composition root.

Why the journal is the truth: a device action cannot be undone and a process can die between any two
statements. The only thing that can be trusted after a crash is what was written before the action (the
intent) and what the device itself says. So state is never stored, only folded from events; decisions are a
pure function of that state; and every action is announced in the journal before it is tried.
"""
