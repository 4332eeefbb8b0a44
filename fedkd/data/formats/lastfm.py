"""Common parts of the data sets of Last.fm."""

LICENCE = "Last.fm: for non-commercial use (terms of Last.fm)"
