"""Trust anchor management: messages for devices, and what devices say of them (RFC 5934; RFC 8295 section 7)."""
