"""The provisioning station: profiles, runs over many lines, the ledger, and what people look at. Never imported on a device."""
