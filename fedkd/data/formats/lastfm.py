"""What the data sets of Last.fm have in common."""

LICENCE = "Last.fm: for non-commercial use (terms of Last.fm)"
