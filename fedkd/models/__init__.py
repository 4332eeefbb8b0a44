"""Recommenders, one per file."""
