"""How long somebody waits, in words."""

from datetime import timedelta


def wait_text(wait: timedelta) -> str:
    """A wait rounded up to whole minutes or hours: "12 hours", "5 minutes", "a minute"."""
    minutes = max(-(-int(wait.total_seconds()) // 60), 1)
    if minutes == 1:
        return "a minute"
    return f"{minutes} minutes" if minutes < 120 else f"{-(-minutes // 60)} hours"
