"""Recommendations, similar users and items, and ratings from an export, in Python and on the command line.

    >>> import towerline
    >>> recommender = towerline.open("exports")
    >>> len(recommender.recommend("u3", k=10))
    10

A folder of releases, which serving.releases fills, is opened in the same way: its live release answers, and reload()
switches to a newer one. Neither TensorFlow nor DVC is needed.
"""

from pathlib import Path

from towerline.serving.answers import Recommendation, SimilarItem, SimilarUser
from towerline.serving.errors import ServingError, UnknownIdError, folder_path
from towerline.serving.exported import read
from towerline.serving.recommender import Recommender
from towerline.serving.version import __version__

__all__ = [
    "Recommendation",
    "Recommender",
    "ServingError",
    "SimilarItem",
    "SimilarUser",
    "UnknownIdError",
    "__version__",
    "open",
]


def open(folder: Path | str = "exports") -> Recommender:
    """Opens an export or a release; later changes to the folder do not affect the object that is returned.

    Args:
      folder: a folder of releases, whose live release is opened; one release; or the folder that `export` wrote. The
        files of a release are mapped into memory. Those of an export, which may change at any time, are read into
        memory, and their digests are compared.

    Raises:
      ServingError: the folder is none of these, or its files are not those of its manifest.

    Examples:
      >>> recommender = towerline.open("exports")
      >>> len(recommender.version)
      12
    """
    path = folder_path(folder)
    return Recommender(read(path), path)
