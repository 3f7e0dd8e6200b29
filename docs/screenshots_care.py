"""Take the pictures of docs/alerts.md from a running demo: `.venv/bin/python docs/screenshots_care.py`.

First it gives the demo a past: a month of readings of ten people, sent as a simulated month is sent, and a week of
alerts that Bob and his colleague Beth answered, made by the same services as real ones. PORT, VAR_DIR, DATABASE_URL and
KAFKA_BOOTSTRAP_SERVERS are those of the demo.
"""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import django
from playwright.sync_api import Page, sync_playwright
from screenshots import ADDRESS, DESK, DOCS, FLAGS, PHONE, VAR_DIR, chromium, signed_in, take

PAST = timedelta(days=30)
TURNS = [("light", DESK), ("dark", PHONE)]  # docs keep the one of each page that says most
ILL = 3  # who was ill in the simulated month; Alice has an open alert of her own
# Patient's number, cause, hours ago, minutes until Bob answers, useful; None: nobody has closed it yet.
WEEK = [
    (ILL, "news2", 150, 4, True),
    (12, "limit:heart_rate:high", 141, 11, False),
    (ILL, "news2", 120, 6, True),
    (21, "silence:all", 96, None, None),
    (33, "news2", 75, 3, True),
    (12, "limit:heart_rate:high", 70, 14, False),
    (40, "news2", 52, 9, False),
    (ILL, "news2", 30, 5, True),
    (5, "news2", 3, 8, None),
]


def main() -> None:
    os.environ |= {"DJANGO_SETTINGS_MODULE": "portal.settings", "VAR_DIR": str(VAR_DIR), "HTTPS": "false"}
    os.environ["SECRET_KEY"] = (VAR_DIR / "secret-key").read_text()
    sys.path.insert(0, str(DOCS.parent))
    django.setup()
    _month_of_readings()
    ill = _week_of_alerts()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for scheme, viewport in TURNS:
            page = signed_in(browser, "bob", viewport=viewport, color_scheme=scheme)
            name = "phone" if viewport == PHONE else "desk"
            page.goto(f"{ADDRESS}/shift/")
            take(page, f"shift-{scheme}-{name}", full_page=True)
            page.goto(f"{ADDRESS}/burden/?days=7")
            take(page, f"burden-{scheme}-{name}", full_page=True)
            _preview(page, ill)
            take(page, f"preview-{scheme}-{name}", full_page=True)
        browser.close()


def _month_of_readings() -> None:
    start = (datetime.now(UTC) - PAST).isoformat(timespec="seconds").replace("+00:00", "Z")
    began = [int(PAST.total_seconds()) - hours * 3600 - 600 for number, _, hours, _, _ in WEEK if number == ILL]
    ill = [f"hypoxia:{ILL}:{after}:3600" for after in began]
    options = ["--devices", "10", "--kit", "watch", "--rate", "0.00333", "--duration", str(int(PAST.total_seconds()))]
    options += ["--start", start, "--speed", "max", "--transport", "kafka", "--seed", "5"]
    for episode in ill:
        options += ["--episode", episode]
    subprocess.run([sys.executable, str(DOCS.parent / "simulator" / "iot_simulator.py"), *options], check=True)


def _week_of_alerts() -> int:
    """What nobody has closed was raised or answered lately; Bob has Beth's shift. The primary key of who was ill."""
    from django.db import transaction

    from analytics.episodes import Level, Step, Transition
    from portal.accounts.models import Role, User
    from portal.alerts.answers import Responded, alert_acknowledge, alert_close
    from portal.alerts.handover import shift_hand_over
    from portal.alerts.models import Alert
    from portal.alerts.services import transitions_apply
    from portal.devices.models import Assignment
    from portal.monitoring.models import Plan

    now, bob = datetime.now(UTC), User.objects.get(username="bob")
    beth, made = User.objects.get_or_create(
        username="beth",
        defaults={"first_name": "Beth", "last_name": "Brown", "role": Role.CLINICIAN, "organisation": bob.organisation},
    )
    ill = Assignment.objects.get(device__device_id=f"device_{ILL}").patient_id
    if not made:
        return ill
    bob.care_teams.get().members.add(beth)
    # The demo's plans are of today; nobody without a plan in force has alerts.
    Plan.objects.update(in_force_from=now - PAST, starts_at=now - PAST)
    for number, cause, hours, minutes, useful in WEEK:
        patient = Assignment.objects.get(device__device_id=f"device_{number}").patient
        at = now - timedelta(hours=hours)
        level = Level.SILENT if cause.startswith("silence") else Level.MEDIUM
        opened = Transition(patient.subject, cause, Step.OPENED, level, at, _evidence(cause, at))
        with transaction.atomic():
            transitions_apply([opened], now=at)
        alert = Alert.objects.get(episode__patient=patient, episode__cause=cause, raised_at=at)
        if minutes is not None:
            at += timedelta(minutes=minutes)
            alert_acknowledge(user=bob, alert=alert, note="Calling now", now=at)
        if useful is not None:
            record = Responded("Rest, and oxygen as agreed" if useful else "Was climbing the stairs", "patient", True)
            alert_close(user=bob, alert=alert, response=_judged(record, useful), now=at + timedelta(minutes=9))
        if hours > 3:
            end = Transition(patient.subject, cause, Step.ENDED, level, at + timedelta(minutes=40), {})
            with transaction.atomic():
                transitions_apply([end], now=end.at)
    shift_hand_over(giver=beth, taker=bob, note="Home visit until four", now=now)
    return ill


def _judged(record: "Responded", useful: bool) -> "Responded":  # noqa: F821 needs Django
    from dataclasses import replace

    return replace(record, outcome="advice" if useful else "nothing", useful=useful)


def _evidence(cause: str, at: datetime) -> dict[str, object]:
    measured_at = at.isoformat().replace("+00:00", "Z")
    value = {"measured_at": measured_at, "device_id": "device", "points": None}
    if cause.startswith("silence"):
        return {"rule": "Plan schedule", "vital": "all", "due_every_minutes": 5, "last_measured_at": measured_at}
    if cause.startswith("limit"):
        about = {"rule": "Plan limit", "limit": 110.0, "direction": "high", "reason": "Heart failure"}
        return about | {"unconfirmed": False, "values": {"heart_rate": value | {"value": 124.0}}}
    values = {"spo2": value | {"value": 88.0, "points": 3}, "heart_rate": value | {"value": 112.0, "points": 2}}
    about = {"rule": "NEWS2 (RCP 2017), SpO₂ scale 1", "scale": 1, "score": 5, "inputs": 4, "partial": True}
    return about | {"unconfirmed": False, "values": values}


def _preview(page: Page, patient: int) -> None:
    """That person's plan, with a limit that somebody thinks of adding, replayed."""
    page.goto(f"{ADDRESS}/patients/{patient}/plan/")
    page.fill("[name=low_spo2]", "93")
    page.fill("[name=why_spo2]", "Falls before she feels it")
    page.get_by_role("button", name="Show what would have fired").click()
    page.locator("#compare-title").wait_for(timeout=60_000)


if __name__ == "__main__":
    main()
