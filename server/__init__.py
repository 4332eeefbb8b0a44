"""The server: ServerApp, Strategy and the teacher."""

from fedkd.cli.interrupts import end_in_words

end_in_words()
