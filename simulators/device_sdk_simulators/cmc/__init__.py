"""Certificate Management over CMS (RFC 5272, RFC 6402) as the server sees it: messages, proofs, and what is remembered."""
