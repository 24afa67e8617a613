"""Many simulated devices: on lines, for a station to provision, or without any, to load a server."""
