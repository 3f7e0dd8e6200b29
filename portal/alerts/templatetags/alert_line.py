"""One alert as a line of the board, of a record, and of the list of alerts.

A tag, not a template that is included: in a storm a board has hundreds of them, and as includes they took half of it.
"""

from datetime import datetime

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal.alerts.models import Alert
from portal.alerts.templatetags.wording import ago
from portal.alerts.wording import cause_label, sentence

register = template.Library()


@register.simple_tag
def alert_line(alert: Alert, now: datetime, consented: bool, size: str = "", named: bool = False) -> SafeString:
    """The alert's level, what happened, and since when; `named` says of whom.

    Without consent to care it says what the alert is about, and no value. An open one tells the live page of itself.
    """
    episode = alert.episode
    level, name = episode.get_level_display(), episode.patient.name
    marks = SafeString()
    if alert.state == Alert.State.OPEN:
        marks = format_html(
            ' data-alert="{}:{}" data-says="New alert: {}, {}"', alert.pk, int(episode.level), name, level.lower()
        )
    ended = "" if episode.ended_at is None else f"; no longer seen since {timezone.localtime(episode.ended_at):%H:%M}"
    return format_html(
        '<a class="alert-line {} level-{}" href="{}"{}><span class="badge level-{}">{}</span>{} '
        '<span class="says">{}</span> <span class="quiet">{}, raised {}{}</span></a>',
        size,
        int(episode.level),
        reverse("alert", args=[alert.pk]),
        marks,
        int(episode.level),
        level,
        format_html(" <strong>{}</strong>", name) if named else "",
        sentence(alert) if consented else cause_label(episode.cause),
        alert.get_state_display(),
        ago(alert.raised_at, now),
        ended,
    )
