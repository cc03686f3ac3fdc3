"""What the exported embeddings are for: recommendations, likeness and ratings, in Python and on the command line.

    import towerline

    recommender = towerline.open("exports")
    recommender.recommend("42", k=10)

A folder of releases, which serving.releases fills, opens in the same way: its live release answers, and reload() moves
on to another. It needs neither TensorFlow nor DVC.
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
    """Opens what answers questions; it stays whole whatever happens to the folder.

    Args:
      folder: a folder of releases, whose live release is opened; one release; or the folder that `export` wrote. The
        files of a release are mapped into memory. Those of an export, which may change at any time, are read into
        memory, and their digests are compared.

    Raises:
      ServingError: the folder is none of these, or its files are not those of its manifest.
    """
    path = folder_path(folder)
    return Recommender(read(path), path)
