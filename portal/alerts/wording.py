"""Evidence in words: one sentence for a clinician, one in plain words for the patient."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format

from ingestion.vitals import VITALS
from portal.alerts.models import Alert, Episode, Level

ACVPU = {"A": "alert", "C": "new confusion", "V": "responds to voice", "P": "responds to pain", "U": "unresponsive"}

LEAST_SHARE = 0.1  # a channel with a smaller part in a personal alert is in the table, not in the sentence

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
    if kind == "personal":
        return _unusual_label(rest)
    vital, _, direction = rest.partition(":")
    if kind == "gain":
        return f"{VITALS[vital].label} gain"
    label = "All vitals" if vital == "all" else VITALS[vital].label
    return f"No data: {label.lower()}" if kind == "silence" else f"{label} too {direction}"


def _unusual_label(about: str) -> str:
    channel, _, direction = about.partition(":")
    if channel == "together":
        return "Several vitals unlike usual"
    if channel == "nights":
        return "Nights unlike usual"
    return f"{VITALS[channel].label} {'higher' if direction == 'high' else 'lower'} than usual"


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
    if episode.cause.startswith("personal:"):
        return _plain_unusual(episode.evidence)
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
    if episode.cause.startswith("personal:"):
        return _unusual(evidence)
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


def _unusual(evidence: dict[str, Any]) -> str:
    """What is unlike usual, by how much and for how long; the largest part first."""
    parts = [
        f"{VITALS[vital].label} {value_text(vital, value['value'])}, usually {usual_text(vital, value)}"
        for vital, value in _by_share(evidence)
    ]
    together = " together" if len(parts) > 1 else ""
    over = f"over {evidence['window']}, from {evidence['days']} days" if parts else f"over {evidence['window']}"
    return f"Unlike this person's usual{together}: {'; '.join(parts) or 'many small changes'} ({over})."


def _plain_unusual(evidence: dict[str, Any]) -> str:
    changes = [
        f"{plain_label(vital).lower()} has been {'higher' if value['direction'] == 'high' else 'lower'}"
        for vital, value in _by_share(evidence)
    ]
    what = _joined(changes) or "pattern of readings has been different"
    return f"Your {what} than is usual for you. Your care team has been told."


def usual_text(vital: str, value: dict[str, Any]) -> str:
    """A usual range with its unit, as a person reads it."""
    low = value_text(vital, value["usual_low"]).removesuffix(VITALS[vital].unit).strip()
    return f"{low} to {value_text(vital, value['usual_high'])}"


def _by_share(evidence: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The channels that make up most of a personal alert, the largest share first."""
    values = sorted(evidence["values"].items(), key=lambda item: -item[1]["share"])
    return [(vital, value) for vital, value in values if value["share"] >= LEAST_SHARE]


def _deciding(evidence: dict[str, Any]) -> list[str]:
    """The vitals that scored, or all where points do not apply; the highest points first."""
    values = evidence.get("values", {})
    scored = [v for v in values if values[v].get("points") != 0]
    return sorted(scored, key=lambda v: -(values[v].get("points") or 0))


def _clock(text: str) -> str:
    zone = timezone.get_current_timezone()
    at = datetime.fromisoformat(text).astimezone(zone)
    return f"{at:%H:%M}" if at.date() == datetime.now(zone).date() else date_format(at, "j M H:i")


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else ""
