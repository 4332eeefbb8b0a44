"""Attacks on releases, and audits that turn them into lower bounds on epsilon."""
