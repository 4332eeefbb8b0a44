"""Measuring what models recommend, and the rows of results that come of it."""
