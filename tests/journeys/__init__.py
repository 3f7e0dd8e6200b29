"""Whole paths, from what a person does first to what a person sees last."""
