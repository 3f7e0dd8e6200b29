"""Words of an alert and a score, how long ago, how often, shares and spans, in templates."""

from datetime import datetime, timedelta

from django import template

from portal.alerts import wording
from portal.alerts.models import Alert, Level

register = template.Library()
register.filter("cause_label", wording.cause_label)
register.filter("plain_label", wording.plain_label)


@register.filter
def sentence(alert: Alert) -> str:
    return wording.sentence(alert)


@register.filter
def plain_sentence(alert: Alert) -> str:
    return wording.plain_sentence(alert)


@register.filter
def risk(level: int) -> str:
    """NEWS2's word for the level of a score: "low-medium", "medium", "high"."""
    return Level(level).label.lower()


@register.filter
def ago(at: datetime | None, now: datetime) -> str:
    """ "12 s ago", "5 min ago", "3 h ago", "2 days ago"; a device's fast clock is "just now"."""
    if at is None:
        return "never"
    seconds = int((now - at).total_seconds())
    if seconds < 5:
        return "just now"
    for size, unit in ((86400 * 2, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // (86400 if unit == 'days' else size)} {unit} ago"
    return f"{seconds} s ago"


@register.filter
def how_often(minutes: int) -> str:
    """ "every 5 min", "every 4 h", "once a day", "every 2 days"."""
    for size, unit in ((1440, "days"), (60, "h")):
        if minutes % size == 0:
            return "once a day" if minutes == 1440 else f"every {minutes // size} {unit}"
    return f"every {minutes} min"


@register.filter
def share(value: float | None) -> str:
    """ "40 %", or a dash where there was nothing to count."""
    return "\u2013" if value is None else f"{value:.0%}".replace("%", " %")


@register.filter
def span(length: timedelta | None) -> str:
    """ "40 s", "12 min", "3 h 5 min", or a dash."""
    if length is None:
        return "\u2013"
    seconds = int(length.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
