"""`device-sdk est ... --offline-out` and `--offline-in`: the request goes to a file, the answer comes from one."""
