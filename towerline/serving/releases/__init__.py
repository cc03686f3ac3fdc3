"""Releases: exports copied to where applications read them, complete before they can be seen and never changed after.

A folder of releases holds a folder for each version and the pointer to the live one. Nothing but a folder is needed, on
a network disk or a container volume as well. A release is copied into a hidden folder, which is renamed to its version
when it is whole; then the pointer is replaced. A process that is killed at any moment leaves the pointer as it was or
moved, and at most a hidden folder, which the next release removes.
"""

from towerline.serving.releases.listing import Release, listed, verify
from towerline.serving.releases.making import release, rollback

__all__ = ["Release", "listed", "release", "rollback", "verify"]
