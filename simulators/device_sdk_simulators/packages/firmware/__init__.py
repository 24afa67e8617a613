"""Firmware packages (RFC 4108): made for devices, served from files, and what devices say of them."""
