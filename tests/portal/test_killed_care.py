"""The care tasks killed (SIGKILL) at every step: nothing lost, nothing taken twice, nothing after an answer."""

from datetime import timedelta

import pytest
from aiosmtpd.controller import Controller
from django.conf import settings
from django.db import transaction

from portal.alerts.answers import alert_acknowledge
from portal.alerts.mail import LEASE, messages_deliver
from portal.alerts.models import Alert, Message
from portal.alerts.overdue import alerts_overdue
from portal.alerts.services import transitions_apply
from tests.nursery import KILLED
from tests.portal.conftest import NOW, hypoxia, make_cast
from tests.servers.missing import free_port

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]
MINUTE = timedelta(minutes=1)

TASKS = {"overdue": "portal.alerts.overdue.alerts_overdue", "mail": "portal.alerts.mail.messages_deliver"}


class Inbox:
    """An SMTP server that keeps what it accepts."""

    def __init__(self):
        self.received = []

    async def handle_DATA(self, server, session, envelope):
        text = envelope.content.decode()
        identity = next(line for line in text.splitlines() if line.lower().startswith("message-id:"))
        self.received.append((envelope.rcpt_tos[0], identity))
        return "250 OK"


@pytest.fixture
def inbox(settings):
    inbox = Inbox()
    server = Controller(inbox, hostname="127.0.0.1", port=free_port())
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    yield inbox
    server.stop()


@pytest.fixture
def killed(nursery, inbox):
    """Runs a task in a process of its own that kills itself at a place; whether it did."""

    def run(task, place, now):
        mail = {name: getattr(settings, name) for name in ("EMAIL_BACKEND", "EMAIL_HOST", "EMAIL_PORT")}
        return nursery.run(TASKS[task], now, crash_at=place, **mail) == KILLED

    return run


def raised():
    cast = make_cast()
    with transaction.atomic():
        transitions_apply([hypoxia(cast.patient)], now=NOW)
    return cast, Alert.objects.get()


@pytest.mark.parametrize(("place", "left_to_do"), [("overdue_before_commit", 1), ("overdue_after_commit", 0)])
def test_an_escalation_is_taken_once(killed, place, left_to_do):
    _, alert = raised()
    then = NOW + 15 * MINUTE
    assert killed("overdue", place, then)
    assert len(alerts_overdue(then)) == left_to_do
    assert alerts_overdue(then) == set()
    assert list(alert.events.values_list("kind", flat=True)) == ["opened", "escalated"]
    assert Message.objects.filter(event__kind="escalated").count() == 1


@pytest.mark.parametrize(("place", "copies"), [("mail_after_lease", 1), ("mail_after_send", 2)])
def test_a_mail_is_never_lost_and_its_repeat_has_the_same_id(killed, inbox, place, copies):
    raised()
    assert killed("mail", place, NOW)
    assert messages_deliver(NOW) == 0  # the dead one still holds it
    assert messages_deliver(NOW + LEASE) == 1
    assert [to for to, _ in inbox.received] == ["bob@test.example"] * copies
    assert len({identity for _, identity in inbox.received}) == 1


def test_after_an_answer_nothing_goes_out_whoever_was_killed_before(killed, inbox):
    cast, alert = raised()
    assert killed("overdue", "overdue_after_commit", NOW + 15 * MINUTE)
    assert killed("mail", "mail_after_lease", NOW + 15 * MINUTE)
    alert_acknowledge(user=cast.bob, alert=alert, note="", now=NOW + 16 * MINUTE)
    for minutes in range(15, 30):
        alerts_overdue(NOW + minutes * MINUTE)
        messages_deliver(NOW + minutes * MINUTE)
    assert inbox.received == []
