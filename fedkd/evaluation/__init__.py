"""Ranking metrics and what they are measured on."""
