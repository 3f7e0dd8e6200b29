"""Organisations, care teams, patients, and the counter that orders what changed."""
