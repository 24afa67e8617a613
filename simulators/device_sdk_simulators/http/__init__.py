"""A small HTTPS server: threads, pyOpenSSL, one write an answer, and what the TLS handshake said given to the handler."""
