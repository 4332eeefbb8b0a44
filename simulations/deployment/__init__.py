"""Certificates and data folders for runs with real processes."""
