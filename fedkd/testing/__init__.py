"""Conformance suites: checks that any protocol, model, mechanism, codec or data source must pass, yours too."""
