"""The plan as one form: a row per vital (how often, limits and why), a row per clinician of the care team."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError

from ingestion.vitals import VITALS
from portal.accounts.models import Role, User
from portal.monitoring.models import WATCHABLE, Plan, PlanContact
from portal.monitoring.services import Bounds, Contact, Draft
from portal.people.models import Patient

CONTACTS = 4  # as many as a nurse tries before she calls for help


class PlanForm(forms.Form):
    reason = forms.CharField(max_length=200, label="Why is this person monitored?")
    news2 = forms.ChoiceField(choices=Plan.News2.choices, label="Absolute limits")
    weight_gain = forms.BooleanField(
        required=False,
        label="Weight gain",
        help_text=Plan._meta.get_field("weight_gain").help_text,
    )
    ends_on = forms.DateField(
        required=False, label="Ends on", widget=forms.DateInput(attrs={"type": "date"}), help_text="Empty: no end set"
    )

    def __init__(self, *args: Any, patient: Patient, plan: Plan | None, now: datetime, **kwargs: Any) -> None:
        self._plan, self._now, self._zone = plan, now, ZoneInfo(patient.time_zone)
        self._ended = plan is not None and plan.ends_at is not None and plan.ends_at <= now
        self._team = list(User.objects.filter(care_teams=patient.care_team, role=Role.CLINICIAN, is_active=True))
        super().__init__(*args, initial=self._initial(), **kwargs)
        for name, label in WATCHABLE:
            vital, step = VITALS[name], "0.1" if VITALS[name].decimals else "1"
            number = {"min": vital.low, "max": vital.high, "step": step, "inputmode": "decimal"}
            self.fields[f"due_{name}"] = forms.IntegerField(
                min_value=1, max_value=10080, required=False, label=f"{label}: minutes between readings"
            )
            for edge in ("low", "high"):
                self.fields[f"{edge}_{name}"] = forms.FloatField(
                    min_value=vital.low,
                    max_value=vital.high,
                    required=False,
                    label=f"{label}: {edge} limit, {vital.unit}",
                    widget=forms.NumberInput(attrs=number),
                )
            self.fields[f"why_{name}"] = forms.CharField(
                max_length=200, required=False, label=f"{label}: why this limit"
            )
            self.fields[f"until_{name}"] = forms.DateField(
                required=False,
                label=f"{label}: last day of this limit",
                widget=forms.DateInput(attrs={"type": "date"}),
            )
        for number in range(CONTACTS):
            self.fields[f"relation_{number}"] = forms.ChoiceField(
                choices=[("", "Nobody"), *PlanContact.Relation.choices], required=False, label="Who"
            )
            self.fields[f"name_{number}"] = forms.CharField(max_length=200, required=False, label="Name")
            self.fields[f"phone_{number}"] = forms.CharField(
                max_length=40, required=False, label="Phone", widget=forms.TextInput(attrs={"type": "tel"})
            )
        for clinician in self._team:
            self.fields[f"answers_{clinician.pk}"] = forms.IntegerField(
                min_value=1,
                max_value=1440,
                required=False,
                label=f"{clinician.get_full_name() or clinician.username}: answers within (minutes)",
            )

    def _initial(self) -> dict[str, Any]:
        if (plan := self._plan) is None:
            return {}
        initial: dict[str, Any] = {"reason": plan.reason, "news2": plan.news2, "weight_gain": plan.weight_gain}
        initial["ends_on"] = None if self._ended else self._last_day(plan.ends_at)
        initial |= {f"due_{v.vital}": v.due_every_minutes for v in plan.vitals.all()}
        for limit in plan.limits.all():
            initial |= {
                f"low_{limit.vital}": limit.low,
                f"high_{limit.vital}": limit.high,
                f"why_{limit.vital}": limit.reason,
                f"until_{limit.vital}": self._last_day(limit.ends_at),
            }
        for number, contact in enumerate(plan.contacts.all()):
            initial |= {
                f"relation_{number}": contact.relation,
                f"name_{number}": contact.name,
                f"phone_{number}": contact.phone,
            }
        return initial | {f"answers_{r.user_id}": r.within_minutes for r in plan.responders.all()}

    def vital_rows(self) -> Iterator[dict[str, Any]]:
        for name, label in WATCHABLE:
            yield {
                "label": label,
                "unit": VITALS[name].unit,
                "due": self[f"due_{name}"],
                "low": self[f"low_{name}"],
                "high": self[f"high_{name}"],
                "why": self[f"why_{name}"],
                "until": self[f"until_{name}"],
            }

    def contact_rows(self) -> Iterator[list[Any]]:
        return ([self[f"relation_{n}"], self[f"name_{n}"], self[f"phone_{n}"]] for n in range(CONTACTS))

    def responder_rows(self) -> Iterator[Any]:
        return (self[f"answers_{clinician.pk}"] for clinician in self._team)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for name, label in WATCHABLE:
            low, high = data.get(f"low_{name}"), data.get(f"high_{name}")
            if low is not None and high is not None and low >= high:
                self.add_error(f"low_{name}", f"{label}: the low limit must be below the high one.")
            if (low is not None or high is not None) and not data.get(f"why_{name}"):
                self.add_error(f"why_{name}", f"{label}: say why this limit is set.")
            until = data.get(f"until_{name}")
            if until is not None and self._end_of(until) <= self._now:
                self.add_error(f"until_{name}", f"{label}: the last day of the limit must not be over.")
        for number in range(CONTACTS):
            given = [bool(data.get(f"{part}_{number}")) for part in ("relation", "name", "phone")]
            if any(given) and not all(given):
                self.add_error(f"name_{number}", "Give who it is, the name and the phone number, or leave all empty.")
        if data.get("weight_gain") and not data.get("due_weight"):
            self.add_error(
                "weight_gain", "Weight gain can only be seen if weight is measured: say how often it is due."
            )
        if not any(data.get(f"due_{name}") for name, _ in WATCHABLE):
            raise ValidationError("Choose at least one vital, with the minutes between its readings.")
        if not any(data.get(f"answers_{c.pk}") for c in self._team):
            raise ValidationError("Choose at least one person who answers, and within how many minutes.")
        return data

    def draft(self) -> Draft:
        """The next version of the plan. A pause that runs goes on; an ended plan starts anew, now."""
        data, plan = self.cleaned_data, None if self._ended else self._plan
        return Draft(
            reason=data["reason"],
            starts_at=plan.starts_at if plan else self._now,
            ends_at=self._end_of(data["ends_on"]),
            news2=data["news2"],
            weight_gain=data["weight_gain"],
            paused_from=plan.paused_from if plan else None,
            paused_to=plan.paused_to if plan else None,
            pause_reason=plan.pause_reason if plan else "",
            vitals={n: data[f"due_{n}"] for n, _ in WATCHABLE if data[f"due_{n}"]},
            limits={
                n: Bounds(data[f"low_{n}"], data[f"high_{n}"], data[f"why_{n}"], self._end_of(data[f"until_{n}"]))
                for n, _ in WATCHABLE
                if data[f"low_{n}"] is not None or data[f"high_{n}"] is not None
            },
            responders=[(c, data[f"answers_{c.pk}"]) for c in self._team if data[f"answers_{c.pk}"]],
            contacts=[
                Contact(data[f"relation_{n}"], data[f"name_{n}"], data[f"phone_{n}"])
                for n in range(CONTACTS)
                if data[f"relation_{n}"]
            ],
        )

    def clean_ends_on(self) -> Any:
        day = self.cleaned_data["ends_on"]
        if day is not None and self._end_of(day) <= self._now:
            raise ValidationError("The end must be in the future.")
        return day

    def _end_of(self, day: date | None) -> datetime | None:
        """The end of that day in the patient's own time zone."""
        return day and datetime.combine(day + timedelta(days=1), time(), self._zone)

    def _last_day(self, ends_at: datetime | None) -> date | None:
        """The day that `_end_of` made this end of."""
        return ends_at and (ends_at - timedelta(microseconds=1)).astimezone(self._zone).date()


class PauseForm(forms.Form):
    reason = forms.CharField(max_length=200, label="Why is monitoring paused?", help_text="For example “in hospital”")
    until = forms.DateTimeField(
        required=False,
        label="Until",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text="Empty: until somebody resumes it",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, auto_id="pause_%s", **kwargs)  # on the page there is another field called reason
