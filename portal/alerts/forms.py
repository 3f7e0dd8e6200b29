"""What a clinician can say to an alert, and about her own shift, as forms."""

from datetime import timedelta
from typing import Any

from django import forms

from portal.accounts.models import QuietHours, User
from portal.alerts.answers import Responded
from portal.alerts.handover import colleagues_of
from portal.alerts.models import Alert, Response
from portal.alerts.snoozes import longest

SPANS = {
    "15": "15 minutes",
    "30": "30 minutes",
    "60": "1 hour",
    "240": "4 hours",
    "720": "12 hours",
    "1440": "24 hours",
}


class SnoozeForm(forms.Form):
    minutes = forms.ChoiceField(label="For")
    reason = forms.CharField(max_length=200, label="Why it may wait")

    def __init__(self, *args: Any, alert: Alert, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        at_most = longest(alert.episode.level)
        self.fields["minutes"].choices = [
            (minutes, label) for minutes, label in SPANS.items() if timedelta(minutes=int(minutes)) <= at_most
        ]

    @property
    def span(self) -> timedelta:
        return timedelta(minutes=int(self.cleaned_data["minutes"]))


class ResponseForm(forms.Form):
    called = forms.ChoiceField(choices=Response.Called, label="Whom did you call?")
    reached = forms.TypedChoiceField(
        choices=[("yes", "Yes"), ("no", "No")], coerce=lambda text: text == "yes", label="Reached?"
    )
    advice = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), label="What you saw, did or advised")
    outcome = forms.ChoiceField(choices=Response.Outcome, label="Outcome")
    useful = forms.TypedChoiceField(
        choices=[("yes", "Yes"), ("no", "No")], coerce=lambda text: text == "yes", label="Was this alert useful?"
    )

    def responded(self) -> Responded:
        return Responded(**self.cleaned_data)


class HandOverForm(forms.Form):
    taker = forms.ModelChoiceField(queryset=User.objects.none(), label="To", empty_label="Choose a colleague")
    note = forms.CharField(max_length=200, required=False, label="What they should know")

    def __init__(self, *args: Any, giver: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["taker"].queryset = colleagues_of(giver)
        self.fields["taker"].label_from_instance = lambda user: user.get_full_name() or user.username


class QuietHoursForm(forms.ModelForm):
    quiet_hours = forms.ChoiceField(choices=QuietHours, widget=forms.RadioSelect, label="Hold messages that can wait")

    class Meta:
        model = User
        fields = ("quiet_hours",)
