"""Ways to carry a request: HTTPS with a hardware key."""
