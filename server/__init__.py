"""The server: ServerApp, Strategy and the teacher."""
