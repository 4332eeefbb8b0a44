"""Runs, comparisons and benchmarks on one machine."""

from fedkd.cli.interrupts import end_in_words

end_in_words()
