"""[notifications], [metrics] and [logs]: mistakes are named with their line, and no message repeats a secret."""

import json
from pathlib import Path

import pytest

from controller.bench import without_secrets
from controller.settings import Settings, load_settings
from nextplate.errors import SettingsError

CHANNELS = '[notifications.channels]\nmail = "mailto://robot:${PW}@mail.lab.example"\n'


def problem(tmp_path: Path, text: str) -> str:
    path = tmp_path / "lab.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    return str(caught.value).replace(f"{path}", "lab.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[notifications.channels]\na = "mailto://robot:geheim@host"\n',
            "lab.toml:2: notifications.channels.a: the password",
        ),
        (
            '[notifications.channels]\na = "json://:geheim@host"\n',
            "lab.toml:2: notifications.channels.a: the password stands",
        ),
        (
            '[notifications.channels]\na = "geheim"\n',
            "lab.toml:2: notifications.channels.a: a channel's url begins with",
        ),
        (
            '[notifications.channels]\na = ["json://geheim"]\n',
            "lab.toml:2: notifications.channels.a: a channel is a url in",
        ),
        (
            '[notifications.channels]\na = { url = "json://geheim", file = "x" }\n',
            "lab.toml:2: notifications.channels.a: a channel",
        ),
        (
            "[notifications.channels.a]\nshort = true\n",
            "lab.toml:1: notifications.channels.a: a channel needs either a url",
        ),
        (
            '[notifications.channels.a]\nurl = "json://geheim"\nadress = "geheim"\n',
            "lab.toml:3: notifications.channels.a.adress is not a setting",
        ),
        (CHANNELS + '[notifications.tell]\nfault = ["phone"]\n', "'phone', which is not set up (channels: mail)"),
        (CHANNELS + '[notifications.tell]\nfaults = ["mail"]\n', "lab.toml:4: notifications.tell.faults"),
        (
            '[notifications]\nescalation = [{ after_min = 5, to = ["m"] }, { after_min = 5, to = ["m"] }]\n'
            '[notifications.channels]\nm = "json://x"\n',
            "must be more than that of the step before",
        ),
        (
            '[notifications]\nescalation = [{ after_min = "5", to = ["mail"] }]\n' + CHANNELS,
            "lab.toml:2: notifications.escalation.0.after_min = '5'",
        ),
        (
            '[notifications.quiet]\nstart = "24:00"\nend = "07:00"\n',
            "lab.toml:2: notifications.quiet.start = '24:00': write a time",
        ),
        (
            '[notifications.quiet]\nstart = "07:00"\nend = "07:00"\n',
            "lab.toml:1: notifications.quiet: quiet hours begin and end",
        ),
        (
            '[notifications.quiet]\nstart = "07:00"\nend = "08:00"\nzone = "Mars/Base"\n',
            "lab.toml:4: notifications.quiet.zone = 'Mars/Base'",
        ),
        (
            '[metrics]\nport = 9464\nbind = "0.0.0.0"\n',
            "lab.toml:1: metrics: bind = '0.0.0.0' lets other machines read",
        ),
        ('[metrics]\ntoken = "geheim"\n', "lab.toml:1: metrics: token must be ${NAME}"),
        ("[metrics]\nport = 70000\n", "lab.toml:2: metrics.port = 70000"),
        ("[logs]\nkeep = 0\n", "lab.toml:2: logs.keep = 0"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_no_secret(tmp_path, text, said):
    told = problem(tmp_path, text)
    assert said in told
    assert "geheim" not in told


def test_who_is_told_is_no_part_of_a_campaign():
    body = {"channels": {"mail": "json://localhost"}}
    told = Settings.model_validate({"notifications": body, "metrics": {"port": 9}, "logs": {"keep": 2}})
    assert told.journal_body() == Settings().journal_body()
    assert "localhost" not in json.dumps(told.journal_body())
    assert "localhost" not in repr(told.notifications)


def test_a_bundle_for_a_bug_report_holds_no_address():
    text = (
        '[lab]\ndatabase = "sqlite:///nextplate.db"\n[notifications]\nsettle_s = 1\n[notifications.channels]\n'
        "chat = 'slack://T/O/K'\nsms = { url = \"twilio://S:T@F/T\", short = true }\n[notifications.channels.more]\n"
        'url = "json://token-host/x"\n[metrics]\nport = 1\n'
    )
    said = without_secrets(text)
    assert not [secret for secret in ("slack", "twilio", "token-host") if secret in said]
    assert 'database = "sqlite:///nextplate.db"' in said
    assert said.endswith("[metrics]\nport = 1\n")


def test_the_template_that_people_uncomment_is_right(tmp_path):
    from controller.lab import default_settings

    lines = default_settings().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("# [notifications]"))
    end = next(n for n, line in enumerate(lines) if line.startswith("# A device needs a driver"))
    path = tmp_path / "lab.toml"
    path.write_text("\n".join(line.removeprefix("# ") for line in lines[start:end]))
    made = load_settings(path)
    assert set(made.notifications.channels) == {"mail", "chat", "phone"}
    assert made.metrics.port == 9464
    assert made.logs.keep == 5


def test_the_readmes_example_is_a_lab_that_tells(tmp_path):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    section = readme.split("## Told in the night", 1)[1]
    path = tmp_path / "lab.toml"
    path.write_text(section.split("```toml\n", 1)[1].split("```", 1)[0])
    made = load_settings(path)
    assert set(made.notifications.channels) == {"mail", "phone"}
    assert made.notifications.tell["night-started"] == ()
