"""A mount namespace of a test's own, for disks that are really full or really read-only."""

from __future__ import annotations

import os

# root needs no user namespace, and some places (a chroot) allow none
UNSHARE = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")
