"""Against a real mail server and a real webhook: delivered, down for a while, slow, refusing, and secrets kept."""

import json
import os
import socket
import time

import pytest
from notify_lab import Books, at, make_post
from notify_rules import asked, rules
from notify_servers import Hook, MailServer, text_of

from controller.lab import init_lab, open_lab
from controller.notify.channels import Channel, open_channel
from controller.notify.courier import Parcel, ProcessCourier
from controller.notify.scrub import scrubbed
from controller.notify.trial import try_channels
from controller.settings import ChannelSection
from nextplate.errors import SettingsError

MINUTE = 11


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def mail():
    server = MailServer(free_port()).start()
    yield server
    server.handler.wait_s = 0
    server.stop()


@pytest.fixture
def hook():
    server = Hook()
    yield server
    server.stop()


def deliver(courier, parcel, url, deadline_s=20.0):
    sending = courier.send(parcel, Channel("c", url, is_short=False, deadline_s=deadline_s))
    started = time.monotonic()
    while (result := sending.result()) is None:
        assert time.monotonic() - started < deadline_s + 10
        time.sleep(0.02)
    return result


def parcel(**changes) -> Parcel:
    return Parcel(**{"id": "abc123", "attempt": 1, "title": "title", "body": "body", "plate": None} | changes)


def test_a_mail_arrives_with_its_number_and_without_mark_up(mail, tmp_path):
    body = "<b>not bold</b>\n# no heading\n*no star* & co"
    result = deliver(ProcessCourier(tmp_path), parcel(title="a\r\nBcc: x@example.org", body=body, attempt=3), mail.url)
    assert result.is_ok, result.said
    (got,) = mail.mails()
    assert (got["X-Nextplate-Message"], got["X-Nextplate-Try"]) == ("abc123", "3")
    assert got["Bcc"] is None
    assert got["Subject"] == "a Bcc: x@example.org"
    html = got.get_body(("html",))
    assert html is None or "<b>not bold" not in html.get_content()


def test_a_webhook_hears_the_number_too(hook, tmp_path):
    assert deliver(ProcessCourier(tmp_path), parcel(), hook.url).is_ok
    assert hook.ids == [("abc123", "1")]
    assert (hook.posts[0]["title"], hook.posts[0]["message"]) == ("title", "body")


def test_a_picture_that_cannot_be_drawn_keeps_no_message_back(mail, tmp_path):
    assert deliver(ProcessCourier(tmp_path), parcel(plate="NP-0001"), mail.url).is_ok
    (got,) = mail.mails()
    assert "There is no picture:" in text_of(got)


def test_a_slow_server_is_left_at_the_deadline(mail, hook, tmp_path):
    mail.handler.wait_s = hook.wait_s = 60
    for url in (mail.url, hook.url + "?rto=100"):
        started = time.monotonic()
        result = deliver(ProcessCourier(tmp_path), parcel(), url, deadline_s=1.5)
        assert not result.is_ok
        assert result.said == "it was not delivered within 1.5 s"
        assert time.monotonic() - started < 30, "not as long as the server thinks"


@pytest.mark.parametrize("status", [500, 503, 404])
def test_a_webhook_that_fails_says_so(hook, tmp_path, status):
    hook.statuses = [status]
    result = deliver(ProcessCourier(tmp_path), parcel(), hook.url)
    assert not result.is_ok
    assert f"error={status}" in result.said


def test_a_mail_server_that_refuses_says_so(mail, tmp_path):
    mail.handler.refuse = "451 try again"
    assert not deliver(ProcessCourier(tmp_path), parcel(), mail.url).is_ok
    assert mail.mails() == []


SECRETS = ("geheimnis", "ge/hei@m?nis", "T0K3N-A")


@pytest.mark.parametrize(
    "url",
    [
        "mailto://robot:geheimnis@127.0.0.1:{port}?from=a@lab.example&to=b@lab.example&mode=insecure",
        "json://robot:geheimnis@127.0.0.1:{port}/T0K3N-A/hook?+X-Key=T0K3N-A",
        "mailto://robot:ge%2Fhei%40m%3Fnis@127.0.0.1:{port}?from=a@lab.example&to=b@lab.example&mode=insecure",
        "slack://T0K3N-A/geheimnis",
        "nonsense://geheimnis",
    ],
)
def test_no_secret_is_in_what_is_said_of_a_failure(tmp_path, url):
    result = deliver(ProcessCourier(tmp_path), parcel(), url.format(port=free_port()))
    assert not result.is_ok
    assert result.said
    assert not [secret for secret in SECRETS if secret in result.said], result.said


def test_scrubbing_blanks_every_part_but_the_host():
    said = "cannot reach hooks.example/T123/B456 as ann with p@ss at hooks.example"
    url = "json://ann:p%40ss@hooks.example/T123/B456"
    assert scrubbed(said, url, "hooks.example") == "cannot reach hooks.example/***/*** as *** with *** at hooks.example"


def test_secrets_come_from_the_environment_or_a_file_of_ones_own(tmp_path):
    section = ChannelSection.model_validate("mailto://robot:${MAIL_PW}@host?to=b@lab.example")
    assert open_channel("m", section, tmp_path, {"MAIL_PW": "a/b@c"}).url.startswith("mailto://robot:a%2Fb%40c@host")
    with pytest.raises(
        SettingsError, match=r"lab\.toml: notifications\.channels\.m: the environment variable MAIL_PW is"
    ):
        open_channel("m", section, tmp_path, {})
    whole = ChannelSection.model_validate("${SLACK_URL}")
    assert open_channel("s", whole, tmp_path, {"SLACK_URL": "slack://a/b/c"}).url == "slack://a/b/c"
    kept = ChannelSection(file="chat.url")
    with pytest.raises(SettingsError, match=r"chat\.url: No such file"):
        open_channel("c", kept, tmp_path, {})
    (tmp_path / "chat.url").write_text("slack://geheimnis/b/c\n")
    (tmp_path / "chat.url").chmod(0o644)
    with pytest.raises(SettingsError, match=r"others can read .*chmod 600") as caught:
        open_channel("c", kept, tmp_path, {})
    assert "geheimnis" not in str(caught.value)
    (tmp_path / "chat.url").chmod(0o600)
    channel = open_channel("c", kept, tmp_path, {})
    assert channel.url == "slack://geheimnis/b/c"
    assert "geheimnis" not in repr(channel)


def run_post(post, seconds: float, is_done) -> None:
    """Turn a post room in real time from minute 11 on."""
    started = time.monotonic()
    while not is_done() and time.monotonic() - started < seconds:
        post.read()
        post.turn(at(MINUTE), at(MINUTE), time.monotonic())
        time.sleep(0.05)
    post.stop()
    assert is_done()


def real_post(tmp_path, books, urls):
    post = make_post(books, ProcessCourier(tmp_path), rules(fault=tuple(urls), **{"night-started": ()}))
    post.channels = {n: (lambda n=n, u=u: Channel(n, u, is_short=False, deadline_s=30.0)) for n, u in urls.items()}
    return post


def test_a_mail_server_that_is_down_for_a_while_gets_the_fault_later_and_the_webhook_at_once(
    mail, hook, tmp_path, monkeypatch
):
    monkeypatch.setattr("controller.notify.post._FIRST_RETRY_S", 0.3)
    mail.stop()
    books = Books(asked())
    post = real_post(tmp_path, books, {"mail": mail.url, "hook": hook.url})
    run_post(
        post,
        20,
        lambda: hook.ids and {"sent"} < {r["state"] for r in books.rows.values() if r["error"] or r["told_at"]},
    )
    assert len(hook.ids) == 1
    (row,) = [r for r in books.rows.values() if r["channel"] == "mail"]
    assert "Connection" in row["error"]
    mail.start()
    run_post(real_post(tmp_path, books, {"mail": mail.url, "hook": hook.url}), 60, lambda: len(mail.handler.raw) == 1)
    (got,) = mail.mails()
    assert got["X-Nextplate-Message"] == row["id"]
    assert len(hook.ids) == 1


def test_a_webhook_that_fails_twice_is_asked_three_times(hook, tmp_path, monkeypatch):
    monkeypatch.setattr("controller.notify.post._FIRST_RETRY_S", 0.1)
    hook.statuses = [500, 503]
    books = Books(asked())
    run_post(real_post(tmp_path, books, {"hook": hook.url}), 60, lambda: bool(hook.ids))
    assert hook.n_asked == 3
    assert hook.ids[0][1] == "3"


def write_lab(folder, channels: str):
    init_lab(folder)
    text = (folder / "lab.toml").read_text()
    (folder / "lab.toml").write_text(f"{text}\n[notifications.channels]\n{channels}")
    return open_lab(folder)


def test_notify_test_tells_of_each_channel(mail, hook, tmp_path, run):
    dead = free_port()
    write_lab(
        tmp_path / "lab",
        f'mail = "{mail.url}"\nhook = {{ url = "{hook.url}", short = true }}\n'
        f'dead = "json://robot:${{NOTIFY_PW}}@127.0.0.1:{dead}/x"\nunset = "json://${{NOT_THERE}}"\n',
    )
    os.environ["NOTIFY_PW"] = "geheimnis"
    try:
        code, out, err = run("notify", "test", "--lab", tmp_path / "lab", "--json")
    finally:
        del os.environ["NOTIFY_PW"]
    body = json.loads(out)["channels"]
    assert code == 1
    assert {name: said["delivered"] for name, said in body.items()} == {
        "mail": True, "hook": True, "dead": False, "unset": False,
    }  # fmt: skip
    assert "NOT_THERE is not set" in body["unset"]["said"]
    assert "geheimnis" not in out + err
    assert "A test of channel mail. Nothing has happened" in text_of(mail.mails()[0])
    assert len(hook.posts[0]["message"]) <= 160
    assert run("notify", "test", "mail", "--lab", tmp_path / "lab")[:2] == (0, "mail: delivered\n")
    assert run("notify", "test", "pigeon", "--lab", tmp_path / "lab")[0] == 2


def test_without_channels_there_is_nothing_to_test(tmp_path, run):
    init_lab(tmp_path / "lab")
    code, _, err = run("notify", "test", "--lab", tmp_path / "lab")
    assert code == 2
    assert "names no channel" in err


def test_all_channels_are_tried_at_once(hook, tmp_path):
    hook.wait_s = 3.0
    lab = write_lab(tmp_path / "lab", f'a = "{hook.url}"\nb = "{hook.url}"\n')
    assert all(r["delivered"] for r in try_channels(lab, None).values())
    assert hook.most_at_once == 2
