"""The version of the package, which pyproject.toml reads from here.

It is not in towerline/__init__.py, since every stage depends on that file and a new version makes no stage stale.
"""

__version__ = "0.1.0"
