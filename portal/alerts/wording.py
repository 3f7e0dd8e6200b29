"""Evidence in words: one sentence for a clinician, one in plain words for the patient."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format

from ingestion.vitals import VITALS
from portal.alerts.models import Alert, Episode, Level

ACVPU = {"A": "alert", "C": "new confusion", "V": "responds to voice", "P": "responds to pain", "U": "unresponsive"}


# Where a vital's own label is a word of the ward.
PLAIN = {
    "spo2": "Oxygen level",
    "respiratory_rate": "Breathing rate",
    "temperature": "Temperature",
    "systolic": "Blood pressure (upper)",
    "diastolic": "Blood pressure (lower)",
    "hrv_rmssd": "Heart rate variability",
    "battery": "Battery of your device",
}


def plain_label(vital: str) -> str:
    """What a patient calls it."""
    return PLAIN.get(vital, VITALS[vital].label)


def cause_label(cause: str) -> str:
    """A short name of what an episode is about."""
    kind, _, rest = cause.partition(":")
    if kind == "news2":
        return "NEWS2"
    vital, _, direction = rest.partition(":")
    label = "All vitals" if vital == "all" else VITALS[vital].label
    return f"No data: {label.lower()}" if kind == "silence" else f"{label} too {direction}"


def value_text(vital: str, value: Any) -> str:
    """A value with its unit, as a person reads it."""
    kind = VITALS[vital]
    if kind.codes:
        return ACVPU.get(str(value), str(value))
    if kind.name in ("supplemental_oxygen", "presence"):
        return "yes" if value else "no"
    number = f"{float(value):.{kind.decimals}f}"
    return f"{number} %" if kind.unit == "%" else f"{number} {kind.unit}".strip()


def sentence(alert: Alert) -> str:
    """What happened, for a clinician."""
    return _clinician(alert.episode)


def plain_sentence(alert: Alert) -> str:
    """What happened, for the patient: no scores, no alarm, what happens next."""
    episode = alert.episode
    if episode.cause.startswith("silence:"):
        return "We have had no readings from your device for a while. Please check that it is on, charged and worn."
    names = [plain_label(v).lower() for v in _deciding(episode.evidence)]
    what = _joined(names) or "readings"
    verb = "are" if len(names) != 1 else "is"
    return f"Your {what} {verb} outside the range set for you. Your care team has been told."


def _clinician(episode: Episode) -> str:
    evidence = episode.evidence
    if episode.cause.startswith("silence:"):
        last = evidence.get("last_measured_at")
        since = f"since {_clock(last)}" if last else "so far"
        device = f", last from {evidence['device_id']}" if evidence.get("device_id") else ""
        battery = f" (battery {evidence['battery']:.0f} %)" if evidence.get("battery") is not None else ""
        return f"{cause_label(episode.cause)} {since}{device}{battery}; due every {evidence['due_every_minutes']} min."
    deciding = _deciding(evidence)
    values = ", ".join(
        f"{VITALS[v].label} {value_text(v, evidence['values'][v]['value'])} at "
        f"{_clock(evidence['values'][v]['measured_at'])}"
        for v in deciding
    )
    once = "; one reading, not yet confirmed" if evidence.get("unconfirmed") else ""
    if episode.cause == "news2":
        inputs = f"partial, {evidence['inputs']} of 7 inputs" if evidence["partial"] else "all 7 inputs"
        single = " with a single 3" if episode.level == Level.LOW_MEDIUM else ""
        return f"NEWS2 {evidence['score']}{single}: {values} ({inputs}{once})."
    limit = evidence["limit"]
    edge = "" if limit is None else f" ({'below' if evidence['direction'] == 'low' else 'above'} {limit:g}{once})"
    return f"{values}{edge}: {evidence['reason']}."


def _deciding(evidence: dict[str, Any]) -> list[str]:
    """The vitals that scored, or all where points do not apply; the highest points first."""
    values = evidence.get("values", {})
    scored = [v for v in values if values[v].get("points") != 0]
    return sorted(scored, key=lambda v: -(values[v].get("points") or 0))


def _clock(text: str) -> str:
    at = timezone.localtime(datetime.fromisoformat(text))
    today = timezone.localdate() == at.date()
    return date_format(at, "H:i") if today else date_format(at, "j M H:i")


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else ""
