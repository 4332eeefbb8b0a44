"""The clients: ClientApp, students and their state on disk."""

from fedkd.cli.interrupts import end_in_words

end_in_words()
