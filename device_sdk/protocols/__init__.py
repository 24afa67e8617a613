"""What to send next and what an answer means; no I/O, no clock."""
