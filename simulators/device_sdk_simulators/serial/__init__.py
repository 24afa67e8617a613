"""Serial lines with devices at their ends, and what goes wrong on both."""
