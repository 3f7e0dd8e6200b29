"""Plotly figures from history."""
