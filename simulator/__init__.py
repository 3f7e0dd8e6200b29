"""Simulated people and their devices."""
