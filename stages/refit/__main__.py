"""Fits the model that export ships, with the settings that train has found.

The rows of the test set are the latest ones of a temporal split. The quality of this model is not measured; evaluate
measures the same recipe, fitted to the training and validation set.

Reads: data/split/*.parquet, data/vocabulary/*.parquet, models/two_tower/model.json; an earlier export, if one is named.
Writes: models/final/*.
Parameters: refit.
"""

from pathlib import Path

from stages.refit.earlier import Keys
from stages.refit.params import RefitParams
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, read_joined, read_sizes
from towerline.artifacts.train import FINAL, TWO_TOWER
from towerline.features.reading import read_features
from towerline.pipeline import formats
from towerline.pipeline.terminal import progress, run, say
from towerline.training.memory import plan
from towerline.training.place import place
from towerline.training.recipe import Recipe
from towerline.training.warm_start import continued, warm_start

SETS = {"all": (TRAIN, VALIDATION, TEST), "train_and_validation": (TRAIN, VALIDATION)}


def main() -> str:
    params = RefitParams.load()
    recipe = Recipe(**formats.read_json(TWO_TOWER.model)["recipe"])
    sizes, here = read_sizes(SETS[params.rows]), place(recipe.strategy)
    folder, line = plan(recipe, sizes, here)
    if line is not None:
        say("refit", line)
    if here.worker:
        from towerline.training.running import followed

        return followed("refit", recipe, SETS[params.rows])
    rows = read_joined(SETS[params.rows], folder)
    # Law 1: a stage reads all that it lists, with a warm start and without.
    keys = Keys()
    start, origin = None, ""
    if params.warm_start is not None:
        earlier = keys.vectors(Path(params.warm_start), recipe.embedding_dimension)
        recipe, start = continued(recipe), warm_start(earlier, rows, recipe.seed)
        known = [int(vectors.any(axis=1).sum()) for vectors in earlier]
        origin = (
            f", from {params.warm_start}, which has vectors for {known[0]:,} of {rows.num_users:,} users and "
            f"{known[1]:,} of {rows.num_items:,} items"
        )
    tables = read_features(recipe.user_features, recipe.item_features)
    # TensorFlow takes seconds to import.
    from towerline.training.fitting import Run, fit
    from towerline.training.running import led

    def lead(where: Run) -> str:
        with progress(what="training", unit="epoch", total=len(recipe.temperatures)) as bar:
            fitted = fit(recipe, rows, lambda epoch: bar.update(), start, tables, where)
        fitted.write(FINAL, recipe, sizes.num_rows)
        return f"{len(fitted.epochs)} epochs on {sizes.num_rows:,} rows{origin}"

    return led("refit", recipe, [recipe.model_dump(mode="json"), rows, start], lead)


if __name__ == "__main__":
    run("refit", main)
