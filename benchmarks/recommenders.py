"""The compared recommenders: from a training set to embeddings whose inner product ranks the items."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from towerline.artifacts.split import Interactions
from towerline.features.reading import NO_FEATURES, FeatureTables
from towerline.ranking.scorers import Embeddings, by_popularity
from towerline.towers import tf
from towerline.training.fitting import fit
from towerline.training.params import TrainParams
from towerline.training.search import recipe_of, search

# Chosen on Gowalla's validation set.
TOWERLINE: dict[str, Any] = {
    "embedding_dimension": 64,
    "loss": "grouped_softmax",
    "retrieval_weight": 1.0,
    "rating_weight": 0.0,
    "temperature": 0.1,
    "popularity_prior": 0.65,
    "popularity_half_life": None,
    "optimizer": "adagrad",
    "learning_rate": 0.3,
    "batch_size": 128,
    "candidates": 4096,
    "epochs": 10,
    "early_stopping_patience": 0,
    "seed": 42,
    "threads": 2,
    "device": "auto",
    "strategy": "single",
    "user_features": {},
    "item_features": {},
}


# The TensorFlow Recommenders tutorial's; it trains for 3 epochs.
TUTORIAL_BATCH = 8192
TUTORIAL_EPOCHS = 3


def towerline(train: Interactions, **changes: Any) -> Embeddings:
    """Towerline's two towers, without a validation set."""
    params = TrainParams(**(TOWERLINE | changes))
    tf.keras.utils.set_random_seed(params.seed)
    return fit(recipe_of(params.given(), params), train).embeddings()


def without_features(params: TrainParams) -> TrainParams:
    """The settings for data without users or items files."""
    return params.model_copy(update={"user_features": {}, "item_features": {}})


def two_tower(
    params: TrainParams,
    seed: int,
    train: Interactions,
    validation: Interactions,
    tables: FeatureTables = NO_FEATURES,
) -> Embeddings:
    """Towerline's two towers without the rating task, as the stage train finds and fits them."""
    settings = params.model_copy(update={"seed": seed, "rating_weight": 0.0})
    recipe = search(settings.given(), settings, train, validation, tables=tables).recipe
    print(f"seed {seed}: {recipe.prior}, {len(recipe.temperatures)} epochs", flush=True)
    return fit(recipe, Interactions.joined(train, validation), tables=tables).embeddings()


def popularity(train: Interactions) -> Embeddings:
    """The most popular items for everybody."""
    return by_popularity(train)


def irspack_ials(train: Interactions, dimension: int, iterations: int, threads: int, seed: int = 42) -> Embeddings:
    """Irspack's iALS (Rendle et al. 2021), with the settings that earlier trials on Gowalla found best."""
    from irspack.recommenders import IALSRecommender

    recommender = IALSRecommender(
        _matrix(train),
        n_components=dimension,
        alpha0=0.01,
        reg=0.003,
        train_epochs=iterations,
        n_threads=threads,
        random_seed=seed,
    )
    recommender.learn()
    embeddings = (recommender.get_user_embedding(), recommender.get_item_embedding())
    return Embeddings(*(side.astype(np.float32) for side in embeddings))


def implicit_als(
    train: Interactions, dimension: int, regularization: float, iterations: int, threads: int, seed: int = 42
) -> Embeddings:
    """Implicit's ALS (Hu, Koren and Volinsky 2008), with the settings that earlier trials on Gowalla found best."""
    from implicit.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        factors=dimension,
        alpha=80,
        regularization=regularization,
        iterations=iterations,
        num_threads=threads,
        random_state=seed,
    )
    model.fit(_matrix(train), show_progress=False)
    return Embeddings(np.asarray(model.user_factors), np.asarray(model.item_factors))


def ease_bytes(train: Interactions) -> int:
    """Memory of ease(): the item matrix, its inverse and LAPACK's copy, and the users' rows, as float32."""
    return 4 * (3 * train.num_items**2 + train.num_users * train.num_items)


def memory_bytes() -> int:
    """The memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def ease(train: Interactions, regularization: float) -> Embeddings:
    """EASE (Steck 2019) by irspack: a user's vector is the row of their items, an item's its column of weights."""
    from irspack.recommenders import DenseSLIMRecommender

    recommender = DenseSLIMRecommender(_matrix(train), reg=regularization)
    recommender.learn()
    return Embeddings(_matrix(train).toarray(), np.ascontiguousarray(np.asarray(recommender.W, np.float32).T))


def tutorial_model(train: Interactions, with_metric: bool) -> Any:
    """The tutorial's recipe: d 32, in-batch softmax, Adagrad 0.1, and FactorizedTopK in training or none."""
    import tensorflow_recommenders as tfrs

    users = tf.keras.layers.Embedding(train.num_users + 1, 32)
    items = tf.keras.layers.Embedding(train.num_items + 1, 32)
    metric = None
    if with_metric:
        catalogue = tf.data.Dataset.range(train.num_items + 1).batch(128).map(items)
        metric = tfrs.metrics.FactorizedTopK(candidates=catalogue)
    task = tfrs.tasks.Retrieval(metrics=metric)

    class Model(tfrs.Model):
        def __init__(self) -> None:
            super().__init__()
            self.users, self.items, self.task = users, items, task

        def compute_loss(self, inputs: Any, training: bool = False) -> Any:
            return self.task(self.users(inputs[0]), self.items(inputs[1]), compute_metrics=with_metric)

    model = Model()
    model.compile(optimizer=tf.keras.optimizers.Adagrad(0.1))
    return model


def tutorial(train: Interactions, seed: int) -> Embeddings:
    """The tutorial's recipe without its metric, which changes no weight."""
    tf.keras.utils.set_random_seed(seed)
    model = tutorial_model(train, with_metric=False)
    order = np.random.default_rng(seed).permutation(len(train.user_index))
    pairs = (train.user_index[order], train.item_index[order])
    model.fit(tf.data.Dataset.from_tensor_slices(pairs).batch(TUTORIAL_BATCH), epochs=TUTORIAL_EPOCHS, verbose=0)
    return Embeddings(model.users.get_weights()[0], model.items.get_weights()[0])


def _matrix(train: Interactions) -> "sparse.csr_matrix[np.float32]":
    ones: NDArray[np.float32] = np.ones(len(train.user_index), np.float32)
    return sparse.csr_matrix(
        (ones, (train.user_index, train.item_index)), shape=(train.num_users + 1, train.num_items + 1)
    )
