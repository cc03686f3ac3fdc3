"""How much the rows of each item type help the recommendations of each other type.

For each type, the recipe of the measured model is fitted to the training and validation rows without those of the type.
Within every other type, both models rank the same users of the test set; the difference is the help of the type.

Reads: data/split/*.parquet, data/vocabulary/*.parquet, models/two_tower/{user,item}_embeddings.npy, model.json.
Writes: reports/tables/transfer.csv, with its header alone where nothing is measured.
Parameters: transfer.
"""

from collections.abc import Sequence

import numpy as np

from stages.transfer.measuring import METRICS, sources, targets, transfer_rows
from stages.transfer.params import TransferParams
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.train import TWO_TOWER, read_embeddings
from towerline.artifacts.transfer import TRANSFER_TABLE, TransferRow
from towerline.artifacts.vocabulary import read_item_types
from towerline.features.reading import read_features
from towerline.feedback.strengths import liked
from towerline.pipeline import formats
from towerline.pipeline.terminal import printable, progress, run
from towerline.ranking.scorers import Embeddings
from towerline.training.recipe import Recipe

CAUTION = (
    "caution: all fits have the recipe that was found on the rows of all types; a search without a type might find a "
    "better one for the others"
)


def main() -> str:
    params = TransferParams.load()
    # Law 1: a stage reads all that it lists, whether there is something to measure or not.
    known, test = Interactions.joined(*map(read_interactions, (TRAIN, VALIDATION))), read_interactions(TEST)
    item_type = read_item_types()
    recipe = Recipe(**formats.read_json(TWO_TOWER.model)["recipe"])
    embeddings = Embeddings(
        read_embeddings(TWO_TOWER.user_embeddings, known.num_users),
        read_embeddings(TWO_TOWER.item_embeddings, known.num_items),
    )
    tables = read_features(recipe.user_features, recipe.item_features)
    below = recipe.feedback.below
    # A fit without the rows of a type needs likes in another one.
    likes = liked(known, known, below)
    to = targets(known, liked(test, known, below), item_type)
    number, types = len(sources(likes, item_type, to)), len(np.unique(item_type[1:]))
    if not number or types > params.max_types:
        formats.write_csv(TRANSFER_TABLE, TransferRow._fields, [])
        return f"nothing is measured: {_reason(types, params.max_types)}"
    # TensorFlow takes seconds to import.
    from towerline.training.fitting import fit, seed_everything

    seed_everything(recipe.seed, recipe.threads, recipe.device)
    with progress(what="training", unit="epoch", total=number * len(recipe.temperatures)) as bar:

        def fitted(rows: Interactions) -> Embeddings:
            return fit(recipe, rows, lambda epoch: bar.update(), tables=tables).embeddings()

        rows = transfer_rows(embeddings, fitted, known, sources(likes, item_type, to), item_type, to, recipe.seed)
    formats.write_csv(TRANSFER_TABLE, TransferRow._fields, rows)
    fits = "1 fit" if number == 1 else f"{number} fits, each"
    return "\n".join([f"{fits} without the rows of a type", *_lines(rows), CAUTION])


def _reason(types: int, max_types: int) -> str:
    if types == 1:
        return "the data has a single item type"
    if types > max_types:
        return f"the data has {types} item types, and transfer.max_types is {max_types}"
    return "no user with known rows has test items of a type for which another type has known rows"


def _lines(rows: Sequence[TransferRow]) -> list[str]:
    """The differences in the first of METRICS, a line each."""
    return [_line(row) for row in rows if (row.metric, row.k) == METRICS[0]]


def _line(row: TransferRow) -> str:
    return (
        f"rows of {printable(row.from_type)} for {printable(row.to_type)}: NDCG@{row.k} {row.difference:+.4f} "
        f"(95 % interval {row.low:+.4f} to {row.high:+.4f}, {row.users:,} users)"
    )


if __name__ == "__main__":
    run("transfer", main)
