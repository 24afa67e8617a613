"""Certificate Management over CMS: Full PKI Requests and Responses (RFC 5272 with RFC 6402)."""
