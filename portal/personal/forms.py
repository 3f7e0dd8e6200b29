"""What a patient or a clinician can tell about a time."""

from datetime import datetime, timedelta
from typing import Any

from django import forms

from portal.personal.models import ContextTag

SPANS = {"12": "12 hours", "24": "1 day", "72": "3 days", "168": "7 days", "336": "14 days"}


class ContextForm(forms.Form):
    kind = forms.ChoiceField(choices=ContextTag.Kind, label="What is it?")
    since = forms.DateTimeField(
        label="Since",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    hours = forms.ChoiceField(choices=list(SPANS.items()), initial="72", label="For")
    note = forms.CharField(max_length=200, required=False, label="Note")

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, initial={"since": now.replace(second=0, microsecond=0)}, **kwargs)

    def told(self) -> dict[str, Any]:
        data = self.cleaned_data
        until = data["since"] + timedelta(hours=int(data["hours"]))
        return {"kind": data["kind"], "since": data["since"], "until": until, "note": data["note"]}
