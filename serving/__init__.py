"""What the exported embeddings are for: recommendations, likeness and ratings, in Python and on the command line.

    import serving

    towerline = serving.open("exports")
    towerline.recommend("42", k=10)

It needs neither TensorFlow nor DVC.
"""

from pathlib import Path

from serving.answers import Recommendation, SimilarItem, SimilarUser
from serving.errors import ServingError, UnknownIdError
from serving.exported import read
from serving.recommender import Recommender

__all__ = ["Recommendation", "Recommender", "ServingError", "SimilarItem", "SimilarUser", "UnknownIdError", "open"]


def open(folder: Path | str = "exports") -> Recommender:
    """What answers questions from the folder that `export` wrote.

    Raises:
      ServingError: the folder is not what `export` writes.
    """
    return Recommender(read(Path(folder)))
