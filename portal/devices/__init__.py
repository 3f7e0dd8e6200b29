"""Devices and whose they are, when."""
