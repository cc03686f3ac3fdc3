"""The settings of a fit: those that are given, and those that a search on the validation set adds to them."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from towerline.features.declarations import Features
from towerline.feedback.strengths import Feedback
from towerline.pipeline.settings import Seed, Settings, between

Weight = Annotated[float, between(0, 1000)]


class Hyperparameters(Settings):
    """The settings of the towers, the losses and the optimizer; params.yaml describes them.

    A search replaces a batch_size of None by the size that its training has, so that later fits have the same.
    """

    embedding_dimension: Annotated[int, between(1, 4096)]
    loss: Literal["grouped_softmax", "in_batch_softmax"]
    retrieval_weight: Weight
    rating_weight: Weight
    optimizer: Literal["adagrad", "adam", "sgd"]
    learning_rate: Annotated[float, between(0.000001, 1000)]
    batch_size: Annotated[int, between(1, 1_000_000)] | None
    candidates: Annotated[int, between(1, 1_000_000)]
    epochs: Annotated[int, between(1, 100_000)]
    seed: Seed
    threads: Annotated[int, between(1, 256)]
    device: Literal["auto", "cpu"]
    strategy: Literal["single", "multi_worker"]
    user_features: Features
    item_features: Features


class Given(NamedTuple):
    """The settings of a search that are fixed; None for those that it chooses.

    Attributes:
      temperature: training temperature.
      popularity_prior: weight of recent popularity, in units of the last training temperature.
      half_life: half-life of recent popularity in days.
      patience: number of epochs without a better validation metric after which the search stops; 0 for no such end.
    """

    temperature: float | None
    popularity_prior: float | None
    half_life: float | None
    patience: int


class Prior(Settings):
    """Weights of popularity in the score of a user u and an item i.

    score(u, i) = cosine(u, i) + weight * P(i) + evidence(n_u) * long_term_weight * L(i)

    where P is the log of the recent popularity of the item, L that of its popularity of all times (both from
    towerline.ranking.popularity), n_u the number of items of the user in the rows of the fit, and evidence() grows from
    0 to 1 (towerline.ranking.similarity). The last term is for users with a history: popular items that somebody who
    has seen much has not chosen so far are less likely choices than their popularity says.

    Attributes:
      weight: of P, at least 0.
      half_life: of P, in days; None for the popularity of all times, P = L.
      long_term_weight: of L.
    """

    weight: Annotated[float, Field(ge=0)]
    half_life: Annotated[float, Field(gt=0)] | None
    long_term_weight: float


class Recipe(Hyperparameters):
    """All that a fit needs besides its rows, so that it can be repeated on more of them.

    Attributes:
      temperatures: training temperature of each epoch that is trained; at most `epochs`, over which the learning rate
        decreases to 0.
      prior: of the scores.
      history_half_life: half-life of the items in a user's history, in items (towerline.training.history); None for no
        decay. The training itself has none.
      new_item_factor: the number of rows that an item without rows is expected to have, relative to a known item of the
        same features (towerline.training.new_ids).
      feedback: how the rows count.
      bias_regularization: of the user and item biases of the rating task; None without that task.
    """

    temperatures: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]
    prior: Prior
    history_half_life: Annotated[float, Field(gt=0)] | None
    new_item_factor: Annotated[float, Field(gt=0)]
    feedback: Feedback
    bias_regularization: Annotated[float, Field(gt=0)] | None
