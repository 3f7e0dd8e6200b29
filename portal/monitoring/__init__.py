"""Monitoring plans: why a person is watched, for what, and who answers."""
