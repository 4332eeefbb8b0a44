"""The ways in which the arrays of answers travel as bytes."""
