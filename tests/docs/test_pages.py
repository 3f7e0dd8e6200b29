"""What the other pages say in numbers and tables is what the code does."""

import re

import pytest
from django.urls import resolve

from analytics import batch, ward
from analytics.terms import SLOW_FROM_S
from ingestion import kafka
from portal.alerts import mail, silence
from portal.alerts.models import Level
from portal.pipeline import directory, latest
from portal.pipeline.watch import REBUILT_FROM
from simulator import episodes, faults, options, people, transports
from tests.docs.pages import ROOT, first_codes, rows

SIMULATOR, OPERATIONS, SAFETY = (
    ROOT / "docs" / f"{page}.md" for page in ("simulator", "operations", "clinical-safety")
)


def test_every_option_of_the_simulator_is_told_and_no_other(capsys):
    with pytest.raises(SystemExit):
        options.read(["--help"])
    theirs = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}
    told = set(re.findall(r"--[a-z]+", SIMULATOR.read_text())) - {"--help", "--fingerprint"}
    assert told == theirs


def test_devices_illnesses_and_faults_are_those_of_the_simulator():
    assert first_codes(SIMULATOR, "People") == list(people.DEVICES)
    assert first_codes(SIMULATOR, "Illnesses") == list(episodes.EFFECTS)
    assert first_codes(SIMULATOR, "Faults") == list(faults.KINDS)


def test_effects_of_illnesses_are_those_of_the_simulator():
    for (_, told), effect in zip(rows(SIMULATOR, "Illnesses"), episodes.EFFECTS.values(), strict=True):
        assert [float(n) for n in re.findall(r"[+-]\d[\d.]*", told)] == list(effect.values())


def test_topics_are_those_of_the_code():
    assert first_codes(OPERATIONS, "Topics") == [kafka.READINGS, kafka.ADMITTED, kafka.REFUSED]
    days = kafka.RETENTION_MS // 86_400_000
    assert {cells[3] for cells in rows(OPERATIONS, "Topics")} == {f"{days} days"}


def test_health_addresses_answer():
    for address in first_codes(OPERATIONS, "Health"):
        assert resolve(address)


def test_every_process_of_the_demo_is_told():
    told = {cells[1].strip("`") for cells in rows(OPERATIONS, "What runs")}
    for part in ("portal.asgi:application", "run_door", "run_watcher", "-Q care", "-Q lake", "beat"):
        assert any(part in command for command in told), part


def test_levels_are_those_of_the_alerts():
    assert {cells[1] for cells in rows(SAFETY, "Fixed limits")} == {label.lower() for label in Level.labels}


@pytest.mark.parametrize(
    ("page", "said", "is_so"),
    [
        (SAFETY, "at least 30 seconds later", ward.CONFIRMED_AFTER == 30 * ward.SECOND),
        (SAFETY, "away for 15 minutes", ward.CALM_FOR == 15 * 60 * ward.SECOND),
        (SAFETY, "more than 30 minutes late", batch.LATE == 30 * 60 * ward.SECOND),
        (SAFETY, "less often than every ten minutes", SLOW_FROM_S == 600),
        (SAFETY, "one and a half times the plan's interval", silence.GRACE == 1.5),
        (OPERATIONS, "within the last minute", latest.DELAYED_AFTER.total_seconds() == 60),
        (OPERATIONS, "rebuilt from the last day", REBUILT_FROM.days == 1),
        (OPERATIONS, "After 8 attempts in about 20 minutes", mail.ATTEMPTS == 8 and mail.FIRST_RETRY.seconds == 10),
        (ROOT / "docs" / "architecture.md", "within about a second", directory.LOOK_EVERY_S == 1),
        (SIMULATOR, "waited for 30 seconds", transports.TOPIC_S == 30),
        (SIMULATOR, "one packet in twelve", faults.SPIKE_EVERY == 12),
        (SIMULATOR, "one packet in six", faults.OVERTAKEN_EVERY == 6),
        (SIMULATOR, "two hours slow", faults.SKEW_S == 7200),
    ],
)
def test_numbers_are_those_of_the_code(page, said, is_so):
    assert said in " ".join(page.read_text().split())
    assert is_so
