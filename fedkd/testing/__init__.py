"""Conformance suites: checks that any protocol, model, mechanism or data source must pass, yours too."""
