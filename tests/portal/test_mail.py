"""The outbox: nothing of anybody's health in it, sent once, again after a failure, never after an answer."""

import threading
from datetime import timedelta
from smtplib import SMTPServerDisconnected

import pytest
from django.core import mail
from django.db import connection, transaction

from portal.accounts.models import User
from portal.alerts.answers import alert_acknowledge
from portal.alerts.mail import AT_ONCE, ATTEMPTS, FIRST_RETRY, LEASE, messages_deliver
from portal.alerts.models import Alert, Message
from portal.alerts.services import transitions_apply
from portal.alerts.tasks import deliver
from tests.portal.conftest import NOW, hypoxia, make_cast


def raise_alert(cast):
    with transaction.atomic():
        transitions_apply([hypoxia(cast.patient)], now=NOW)
    return Alert.objects.get()


def test_a_message_says_that_there_is_something_and_nothing_more(cast):
    alert = raise_alert(cast)
    assert messages_deliver(NOW) == 1
    (sent,) = mail.outbox
    assert sent.to == ["bob@test.example"]
    text = f"{sent.subject}\n{sent.body}"
    assert f"/alerts/{alert.pk}/" in text
    for word in ("alice", "marsh", "spo2", "oxygen", "88", "news2", "watch", "copd"):
        assert word not in text.lower()
    assert messages_deliver(NOW + timedelta(hours=1)) == 0


def test_a_failure_is_tried_again_later_under_the_same_id_and_given_up_in_the_end(cast, monkeypatch):
    raise_alert(cast)
    tried = []

    def fail(message):
        tried.append(message.extra_headers["Message-ID"])
        raise SMTPServerDisconnected

    monkeypatch.setattr("django.core.mail.EmailMessage.send", fail)
    now = NOW
    for _ in range(ATTEMPTS + 2):
        assert messages_deliver(now) == 0
        assert messages_deliver(now + FIRST_RETRY / 2) == 0  # not before its time
        now += timedelta(hours=1)
    assert len(tried) == ATTEMPTS
    assert len(set(tried)) == 1
    assert Message.objects.get().stopped_because == f"{ATTEMPTS} attempts failed"


def test_a_sender_that_died_leaves_the_message_to_the_next_one(cast, monkeypatch):
    raise_alert(cast)

    def die(message):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("django.core.mail.EmailMessage.send", die)
        with pytest.raises(KeyboardInterrupt):
            messages_deliver(NOW)
    assert messages_deliver(NOW + LEASE / 2) == 0
    assert messages_deliver(NOW + LEASE) == 1


def test_nothing_is_sent_after_an_answer_or_to_nobody(cast):
    alert = raise_alert(cast)
    alert_acknowledge(user=cast.bob, alert=alert, note="", now=NOW)
    Message.objects.update(due_at=NOW, stopped_because="")  # as if it had been on its way
    assert messages_deliver(NOW) == 0
    assert Message.objects.get().stopped_because == "alert acknowledged"


def test_a_person_without_an_address_is_noted(cast):
    raise_alert(cast)
    cast.bob.email = ""
    cast.bob.save()
    assert messages_deliver(NOW) == 0
    assert Message.objects.get().stopped_because == "no address"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_senders_never_send_the_same_message():
    cast = make_cast()
    event = raise_alert(cast).events.get()
    Message.objects.all().delete()
    people = [cast.alice, cast.bob, cast.charlie, cast.admin]
    Message.objects.bulk_create(Message(event=event, channel="email", recipient=p, due_at=NOW) for p in people)

    def deliver():
        messages_deliver(NOW)
        connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(m.to[0] for m in mail.outbox) == sorted(p.email for p in people)


def test_the_task_empties_the_outbox_however_full_it_is(cast):
    event = raise_alert(cast).events.get()
    people = User.objects.bulk_create(
        User(username=f"erin{n}", email=f"erin{n}@test.example", role="clinician") for n in range(2 * AT_ONCE + 1)
    )
    Message.objects.bulk_create(Message(event=event, channel="email", recipient=p, due_at=NOW) for p in people)
    deliver()
    assert len(mail.outbox) == len(people) + 1
    assert not Message.objects.filter(due_at__isnull=False).exists()
