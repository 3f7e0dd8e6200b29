"""One value, and one score, as pages show them.

Tags, not templates that are included: a board has thousands of values, and as includes they took half of its time.
"""

from datetime import datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from analytics.limits import News2
from portal.alerts.templatetags.wording import ago, risk
from portal.people.selectors import Shown

register = template.Library()
NO_DATA = mark_safe('<span class="nodata">no data</span>')
NOT_IN_PLAN = mark_safe('<span class="quiet">not in the plan</span>')


@register.simple_tag
def reading(value: Shown, now: datetime, plain: bool = False) -> SafeString:
    """The value with its unit, points (not where it is `plain`, for the patient) and age."""
    if not value.text or value.measured_at is None:
        return NO_DATA if value.due else NOT_IN_PLAN
    scored, mark = "", ""
    if value.points and not plain:
        scored = f" scored-{value.points}"
        mark = format_html(
            ' <span class="mark{}">+{}<span class="hidden"> NEWS2 points</span></span>', scored, value.points
        )
    return format_html(
        '<span class="reading{}"><span class="value{}">{}</span> <span class="unit">{}</span>{}</span> '
        '<span class="age">{}{}</span>',
        " stale" if value.stale else "",
        scored,
        value.text,
        value.unit,
        mark,
        "old, " if value.stale else "",
        ago(value.measured_at, now),
    )


@register.simple_tag
def score(of: News2 | None) -> SafeString:
    """A NEWS2 score with its risk, and of how many inputs it is."""
    if of is None:
        return NO_DATA
    return format_html(
        '<span class="points points-{}">{}</span> <span class="age">{}{}</span>',
        int(of.level),
        of.score,
        f"{risk(of.level)}, " if of.level else "",
        f"partial, {of.inputs} of 7" if of.partial else "all 7 inputs",
    )
