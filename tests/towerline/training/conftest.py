"""The checkerboard of planted rows, and fits to it that give the same bytes twice."""

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import ROOT, planted_rows
from towerline.artifacts.split import Interactions
from towerline.ranking.user_items import UserItems
from towerline.towers import tf
from towerline.training import fitting
from towerline.training.params import TrainParams
from towerline.training.search import recipe_of

USERS, ITEMS = 60, 60


@pytest.fixture(scope="module", autouse=True)
def _deterministic() -> None:
    tf.config.experimental.enable_op_determinism()


@pytest.fixture(scope="module", autouse=True)
def _nothing_in_the_system_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """AutoGraph keeps its files until the process ends, so that they stay after `kill -9`."""
    folder = tmp_path_factory.mktemp("system")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(folder))
        yield
    assert not list(folder.iterdir())


def params(**changes: Any) -> TrainParams:
    """The parameters of the repository with the given changes, and some that suit the small data of these tests."""
    defaults = TrainParams.load(ROOT / "params.yaml").model_dump()
    small = {"embedding_dimension": 16, "batch_size": 16, "early_stopping_patience": 0, "seed": 3}
    fixed = {"rating_weight": 0.0, "temperature": 0.2, "popularity_prior": 0.5, "item_features": {}}
    return TrainParams(**(defaults | small | fixed | changes))


def planted_parts() -> tuple[Interactions, Interactions]:
    """Training and held-out set of the checkerboard; item index = 1 + its number, ratings 9 and 3 by its parity."""
    rows = planted_rows(USERS, ITEMS)
    user = np.array([int(row[0][1:]) + 1 for row in rows], np.int32)
    item = np.array([int(row[1]) + 1 + (ITEMS // 2 if row[2] == "film" else 0) for row in rows], np.int32)
    rating = np.array([float(row[3]) for row in rows], np.float32)
    held_out = np.arange(len(rows)) % 5 == 0
    return (
        Interactions(user[~held_out], item[~held_out], rating[~held_out], USERS, ITEMS),
        Interactions(user[held_out], item[held_out], rating[held_out], USERS, ITEMS),
    )


def history_of(train: Interactions) -> UserItems:
    return UserItems.of_pairs(train.user_index, train.item_index, num_rows=USERS + 1)


def fit(settings: TrainParams, train: Interactions) -> fitting.Fitted:
    tf.keras.utils.set_random_seed(settings.seed)
    recipe = recipe_of(settings.given(), settings)
    # The planted ratings have no noise, so that little regularization is best.
    update = {} if recipe.bias_regularization is None else {"bias_regularization": 0.5}
    return fitting.fit(recipe.model_copy(update=update), train)


def embeddings(fitted: fitting.Fitted) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return fitted.embeddings()


LOSSES = ["grouped_softmax", "in_batch_softmax"]
