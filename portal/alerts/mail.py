"""E-mail from the outbox. The text holds no health data and no name: it says that there is something to read."""

import logging
from datetime import datetime, timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage
from django.urls import reverse

from portal.alerts.models import Message
from portal.pipeline.process import crash_point

log = logging.getLogger(__name__)

AT_ONCE = 10
# A sender that dies leaves its message to the next one after this. It outlasts AT_ONCE connections that hang for
# EMAIL_TIMEOUT each, so that a slow sender keeps what it holds.
LEASE = timedelta(minutes=2)
ATTEMPTS = 8
FIRST_RETRY = timedelta(seconds=10)  # doubled each time: the last attempt is 20 minutes after the first


def messages_deliver(now: datetime) -> int:
    """Send the next AT_ONCE messages that are due; the number sent. Call it again, with a new `now`, while it sends.

    At least once: a sender killed between the server's "accepted" and our mark repeats the message after LEASE under
    the same Message-ID. Two senders never hold the same message at once, and one of an answered alert is not sent.
    """
    due = Message.objects.filter(due_at__lte=now).order_by("due_at", "pk").values_list("pk", "due_at")[:AT_ONCE]
    sent = 0
    for pk, due_at in list(due):
        # Whoever moves the due time first has the message.
        if Message.objects.filter(pk=pk, due_at=due_at).update(due_at=now + LEASE) == 1:
            crash_point("mail_after_lease")
            sent += _send(Message.objects.select_related("event__alert", "recipient").get(pk=pk), now)
    return sent


def _send(message: Message, now: datetime) -> bool:
    mine = Message.objects.filter(pk=message.pk, due_at=now + LEASE)
    if not message.is_wanted:
        mine.update(due_at=None, stopped_because=f"alert {message.event.alert.state}")
        return False
    if not message.recipient.email or not message.recipient.is_active:
        mine.update(due_at=None, stopped_because="no address")
        return False
    attempts = message.attempts + 1
    try:
        compose(message).send()
    except (SMTPException, OSError, ValueError) as error:  # ValueError: an address that cannot be a header
        log.warning("message %s: attempt %d failed (%s)", message.pk, attempts, type(error).__name__)
        if attempts < ATTEMPTS:
            mine.update(attempts=attempts, due_at=now + FIRST_RETRY * 2**message.attempts)
        else:
            mine.update(attempts=attempts, due_at=None, stopped_because=f"{attempts} attempts failed")
        return False
    crash_point("mail_after_send")
    # Also where the alert was answered meanwhile: it has gone out, and the outbox says so.
    Message.objects.filter(pk=message.pk).update(due_at=None, sent_at=now, attempts=attempts)
    return True


def compose(message: Message) -> EmailMessage:
    """The e-mail of a message; every repeat of it has the same Message-ID."""
    link = settings.PORTAL_URL.rstrip("/") + reverse("alert", args=[message.event.alert_id])
    return EmailMessage(
        subject="You have a new message in Wellrange",
        body=f"Please sign in to read it:\n{link}\n\nNobody reads replies to this address. In an emergency call your "
        "local emergency number.",
        to=[message.recipient.email],
        headers={"Message-ID": f"<{message.pk}@wellrange>"},
    )
