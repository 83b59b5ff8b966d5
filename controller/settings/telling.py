"""Who is told what in the night, and what monitoring may read."""

import re
from datetime import time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from controller.settings.section import Name, Section

MessageKind = Literal["night-started", "night-done", "fault", "stall", "approval-wanted", "restarted", "notice"]
"""What messages are about."""
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""An environment variable in a channel's URL."""
_LITERAL_LOGIN = re.compile(r"://[^/?@\s]*:(?!\$\{[A-Za-z_]\w*\}@)[^/?@\s]+@")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


class ChannelSection(Section):
    """One way to reach people: an apprise URL, or a file that holds one. Neither is ever shown."""

    url: Annotated[str | None, Field(repr=False)] = None
    """${NAME} in it is an environment variable, taken when a message is sent."""
    file: str | None = None
    """A file with the URL in its first line, relative to the lab folder; nobody else may be able to read it."""
    short: bool = False
    """Cut to one SMS of 160 plain characters."""
    deadline_s: Annotated[float, Field(gt=0, le=300)] = 20.0
    """A message that is not delivered by then is tried again later."""

    @model_validator(mode="before")
    @classmethod
    def _text_is_a_url(cls, given: Any) -> Any:
        if not isinstance(given, str | dict):
            raise ValueError("a channel is a url in quotes, or a table with a url or a file")
        return {"url": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_address(self) -> "ChannelSection":
        if (self.url is None) == (self.file is None):
            raise ValueError("a channel needs either a url (of apprise) or a file that holds one")
        if self.url is not None and "://" not in self.url and not VARIABLE.fullmatch(self.url):
            raise ValueError("a channel's url begins with its kind, as mailtos://, json:// or slack://")
        if self.url is not None and _LITERAL_LOGIN.search(self.url):
            raise ValueError("the password stands in this file; write ${NAME} and put it into that variable")
        return self


class EscalationStep(Section):
    """Who is told next when nobody answers."""

    after_min: Annotated[float, Field(gt=0, le=7 * 24 * 60)]
    """Counted from when the question was asked."""
    to: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)]
    """Channels."""


def _clock_time(text: str) -> str:
    if not _CLOCK.fullmatch(text):
        raise ValueError("write a time of the day as '22:00'")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("there is no such time zone; write one as 'Europe/Berlin' or 'UTC'") from error
    return name


DayTime = Annotated[str, AfterValidator(_clock_time)]


class QuietSection(Section):
    """Hours in which messages that can wait do wait until the end of them."""

    start: DayTime
    end: DayTime
    """Before `start`: of the next day."""
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    kinds: Annotated[tuple[MessageKind, ...], Field(strict=False)] = ("night-started", "night-done", "restarted")
    """Messages that wait; questions go out at any hour unless they are named here."""

    @model_validator(mode="after")
    def _is_a_part_of_the_day(self) -> "QuietSection":
        if self.start == self.end:
            raise ValueError("quiet hours begin and end at the same time; leave the table out to have none")
        return self

    def times(self) -> tuple[time, time]:
        """Return start and end."""
        return time.fromisoformat(self.start), time.fromisoformat(self.end)


class NotificationsSection(Section):
    """Which messages go where; without channels nobody is told anything."""

    channels: dict[Name, ChannelSection] = Field(default_factory=dict)
    tell: dict[MessageKind, Annotated[tuple[Name, ...], Field(strict=False)]] = Field(default_factory=dict)
    """Channels by kind of message; a kind that is not named goes to every channel, one with [] to nobody."""
    escalation: Annotated[tuple[EscalationStep, ...], Field(strict=False)] = ()
    quiet: QuietSection | None = None
    settle_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """A question that settles itself within this time (policy, or the device knows after all) troubles nobody."""
    give_up_h: Annotated[float, Field(gt=0, le=24 * 14)] = 24.0
    """After so long a message that cannot be delivered is given up; `nextplate status` tells of it."""

    @model_validator(mode="after")
    def _names_are_channels(self) -> "NotificationsSection":
        wanted = [(f"tell.{kind}", name) for kind, names in self.tell.items() for name in names]
        wanted += [("escalation", name) for step in self.escalation for name in step.to]
        for place, name in wanted:
            if name not in self.channels:
                known = ", ".join(self.channels) or "none"
                raise ValueError(f"{place} names the channel {name!r}, which is not set up (channels: {known})")
        waits = [step.after_min for step in self.escalation]
        if waits != sorted(set(waits)):
            raise ValueError("escalation: each step's after_min must be more than that of the step before")
        return self


class MetricsSection(Section):
    """Numbers for Prometheus while a campaign runs."""

    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0: none are served."""
    bind: str = "127.0.0.1"
    """Address to listen at; another than this machine's own needs a token."""
    token: str | None = None
    """${NAME}: an environment variable with the token that a reader has to send (Authorization: Bearer TOKEN)."""

    @model_validator(mode="after")
    def _outside_needs_a_token(self) -> "MetricsSection":
        if self.token is not None and not VARIABLE.fullmatch(self.token):
            raise ValueError("token must be ${NAME}, the name of an environment variable that holds it")
        if self.bind not in ("127.0.0.1", "::1", "localhost") and self.token is None:
            raise ValueError(f"bind = {self.bind!r} lets other machines read; they need a token: token = '${{NAME}}'")
        return self


class LogsSection(Section):
    """logs/nextplate.jsonl: one line per event."""

    max_mb: Annotated[float, Field(gt=0, le=1000)] = 10.0
    """A longer file is put away as nextplate.jsonl.1 and a new one begun."""
    keep: Annotated[int, Field(ge=1, le=100)] = 5
    """How many of those are kept."""
