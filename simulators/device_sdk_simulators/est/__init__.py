"""Enrolment over Secure Transport: RFC 7030 with RFC 8951, as the server sees it."""
