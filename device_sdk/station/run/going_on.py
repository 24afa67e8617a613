"""What of an earlier run a device goes on with."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from device_sdk.client.bench import DeviceFacts
from device_sdk.station.profile import Profile
from device_sdk.station.run.kept import Job


def job_of(kept: Job | None, profile: Profile, facts: DeviceFacts, serial_number: str) -> tuple[Job, str | None]:
    """The job of an earlier run by the same profile, or a new one; what the device was issued is never forgotten.

    A device that has not got what it was issued is told where to keep it as often as the profile says another place: that costs
    no second certificate.

    Args:
        kept: what an earlier run left, or None.
        profile: what devices are made by now.
        facts: what the device says of itself.
        serial_number: the device's.

    Returns:
        The job, and what is to be noted down of it, or None.

    Raises:
        ConfigurationError: the anchors of the profile cannot be read.
    """
    name = f"{profile.name} {profile.version} {profile.mode}"
    essence, but_places = (
        hashlib.sha256(one.encode() + profile.device_anchors()).hexdigest()
        for one in (profile.essence, profile.essence_but_places)
    )
    if kept is not None and (kept.profile, kept.essence) == (name, essence):
        kept = replace(kept, but_places=but_places)  # one of an earlier version has none
        return (kept if kept.public_key else replace(kept, enrolled_before=facts.enrolled)), None
    has_nothing = kept is not None and kept.public_key is not None and facts.enrolled == kept.enrolled_before
    if kept is not None and has_nothing and (kept.profile, kept.but_places) == (name, but_places):
        return replace(kept, essence=essence), None
    issued: tuple[str, ...] = ()
    over, note = False, None
    if kept is not None:
        issued, over = kept.all_issued, kept.over or facts.enrolled not in (None, kept.enrolled_before)
        changed = "which was changed since, and begins anew" if kept.profile == name else f"and begins anew by {name}"
        note = f"it was begun by profile {kept.profile}, {changed}"
    job = Job(
        serial_number,
        name,
        enrolled_before=facts.enrolled,
        issued=issued,
        essence=essence,
        but_places=but_places,
        over=over,
    )
    return job, note
