"""Conformance suites for parts that users write themselves: each is a plain function that asserts."""
