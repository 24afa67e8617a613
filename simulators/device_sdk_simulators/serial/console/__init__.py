"""A simulated device with a console: boot loader, login, and a real shell in a directory of its own."""
