"""Where the attributes of a device come from: sysfs, DMI, the device tree, configuration, or a command."""
