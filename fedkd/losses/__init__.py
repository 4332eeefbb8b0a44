"""Losses, one function each."""
