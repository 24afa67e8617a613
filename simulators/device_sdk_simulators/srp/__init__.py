"""Certificate-less TLS for the reference server: SRP (RFC 5054), as RFC 7030 section 3.3.3 allows it; off unless asked for.

Read `verifier` first: what the server keeps instead of a password. Then `tls`: how a handshake uses it. What keeps
guessers away (RFC 7030 section 6) is `device_sdk_simulators.backoff`.
"""
