"""A whole night told of: mails with the plate's picture, a webhook, metrics scraped while it runs, a log that leads to
the journal; and the journal is the one that it is without any of it."""

import json
import random
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from notify_servers import Hook, MailServer, text_of
from small_lab import command, ended_night, environment, make_lab, nextplate, run_lab

from controller.store import read_journal

pytestmark = [pytest.mark.slow, pytest.mark.opentrons, pytest.mark.timeout(900)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tables(mail: MailServer, hook: Hook, port: int) -> str:
    return (
        f"[metrics]\nport = {port}\n[notifications]\nsettle_s = 1\n[notifications.channels]\n"
        f'mail = {{ url = "{mail.url}", deadline_s = 100 }}\nhook = {{ url = "{hook.url}", deadline_s = 100 }}\n'
        '[notifications.tell]\nnight-started = ["hook"]\nfault = ["hook"]\napproval-wanted = ["hook"]\n'
    )


def scrape(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return ""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(lab, what it said at the end, mail server, webhook, scrapes) of one round."""
    mail, hook, port = MailServer(free_port()).start(), Hook(), free_port()
    folder = make_lab(tmp_path_factory.mktemp("told") / "lab", rounds=1, more=tables(mail, hook, port))
    scrapes = []
    arguments = command("run", "--lab", folder, "--json")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        while process.poll() is None:
            scrapes.append(scrape(port))
            time.sleep(0.3)
        assert process.stdout is not None
        body = json.loads(process.stdout.read())
    for _ in range(5):  # on a busy machine the last messages may be left to the next look
        if json.loads(nextplate("status", "--lab", folder, "--json"))["untold"]:
            subprocess.run(command("notify", "send", "--lab", folder), env=environment(), check=False)
    yield folder, body, mail, hook, [s for s in scrapes if s]
    mail.stop()
    hook.stop()


def test_the_nights_end_comes_by_mail_with_the_plates_picture(told):
    _, body, mail, _, _ = told
    assert body["finished"]
    by_subject = {m["Subject"]: m for m in mail.mails()}
    (night,) = [m for subject, m in by_subject.items() if "night done, round 1" in subject]
    assert "Plate NP-0001 is measured and" in text_of(night)
    (picture,) = [part for part in night.walk() if part.get_content_type() == "image/png"]
    assert picture.get_payload(decode=True).startswith(b"\x89PNG")
    assert any("campaign first finished" in subject for subject in by_subject)


def test_the_webhook_hears_of_the_whole_night_in_order_and_once(told):
    _, _, _, hook, _ = told
    titles = [post["title"].partition(": ")[2] for post in hook.posts]
    assert titles[0] == "night started, round 1"
    assert titles[-1] == "campaign first finished"
    assert len({number for number, _ in hook.ids}) == len(hook.ids)


def test_the_metrics_were_there_while_it_ran(told):
    _, _, _, _, scrapes = told
    assert scrapes
    assert "nextplate_pending_intents " in scrapes[-1]
    grown = [float(s.split("\nnextplate_journal_events_total ")[1].split("\n")[0]) for s in scrapes]
    assert grown == sorted(grown)
    assert grown[-1] > 10


def test_the_log_leads_to_the_journal(told):
    folder, body, _, _, _ = told
    lines = [json.loads(line) for line in (folder / "logs" / "nextplate.jsonl").read_text().splitlines()]
    events = read_journal(folder / "nextplate.db")
    assert [(line["seq"], line["hash"]) for line in lines] == [(e.seq, e.hash) for e in events]
    assert lines[-1]["hash"] == body["journal_hash"]
    (judged,) = [line for line in lines if line.get("task") == "normalise" and line["kind"] == "outcome"]
    assert (judged["plate"], judged["round"], judged["campaign"]) == ("NP-0001", 1, "first")


def test_told_or_not_the_journal_is_the_same(told, tmp_path_factory: pytest.TempPathFactory):
    _, body, _, _, _ = told
    assert ended_night(tmp_path_factory)[1]["journal_hash"] == body["journal_hash"]


@pytest.mark.long  # tests/controller/notify/test_notifier.py kills between every two steps
def test_killed_again_and_again_every_message_arrives_and_repetitions_keep_their_number(told, tmp_path: Path):
    _, _, _, calm, _ = told
    hook, rng, kills = Hook(), random.Random(7), 0
    more = (
        f'[notifications]\nsettle_s = 1\n[notifications.channels]\nhook = {{ url = "{hook.url}", deadline_s = 100 }}\n'
    )
    folder = make_lab(tmp_path / "lab", rounds=1, more=more)
    try:
        while kills < 6:
            process = subprocess.Popen(
                command("run", "--lab", folder, "--json"), stdout=subprocess.DEVNULL, env=environment()
            )
            try:
                process.wait(rng.uniform(3, 20))
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
        assert run_lab(folder)["finished"]
        for _ in range(5):
            if json.loads(nextplate("status", "--lab", folder, "--json"))["untold"]:
                subprocess.run(command("notify", "send", "--lab", folder), env=environment(), check=False)
    finally:
        hook.stop()
    assert kills
    titles = [post["title"].partition(": ")[2] for post in hook.posts]
    expected = {post["title"].partition(": ")[2] for post in calm.posts}
    assert set(titles) - {"restarted"} == expected, "nothing is lost"
    assert len(set(hook.ids)) == len(hook.ids), "each try of a message has its own number"
    assert len(hook.ids) - len({number for number, _ in hook.ids}) <= kills
    lines = [json.loads(line) for line in (folder / "logs" / "nextplate.jsonl").read_text().splitlines()]
    assert [(n["seq"], n["hash"]) for n in lines] == [(e.seq, e.hash) for e in read_journal(folder / "nextplate.db")]
