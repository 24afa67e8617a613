"""One directory a device: what it is, what it trusts, and what it was doing when the power went."""
