"""What is measured about speed and memory."""
