"""What a device is given beyond its own certificate: package lists, peers, revocation lists (RFC 8295)."""
