"""The certification authority behind the EST server."""
