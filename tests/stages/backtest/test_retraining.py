"""What is fitted at a cut, what it may know, and which model is measured at which age."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from stages.backtest import __main__ as stage
from stages.backtest import retraining
from stages.backtest.params import BacktestParams
from stages.backtest.results import AGES, StretchUsers
from stages.backtest.stretches import Stretch, stretches_of
from tests.conftest import ROOT
from towerline.artifacts.backtest import WARM_START
from towerline.artifacts.names import MODEL
from towerline.artifacts.split import Interactions
from towerline.baseline_models.params import BaselinesParams
from towerline.features.reading import NO_FEATURES
from towerline.ranking.scorers import arrays_of
from towerline.towers import tf
from towerline.training import fitting
from towerline.training.params import TrainParams
from towerline.training.warm_start import continued, warm_start

USERS = ITEMS = 40
DAYS = 12
DAY = 86_400


@pytest.fixture(scope="module", autouse=True)
def _deterministic() -> None:
    tf.config.experimental.enable_op_determinism()


def rows(seed: int = 0) -> Interactions:
    """Users of four groups choose items of their group, at times spread over DAYS days."""
    draw = np.random.default_rng(seed)
    pairs = [(u, i) for u in range(1, USERS + 1) for i in range(1, ITEMS + 1) if u % 4 == i % 4]
    user, item = np.array([pairs[row] for row in draw.permutation(len(pairs))], np.int32).T
    time = np.sort(draw.integers(0, DAYS * DAY, len(user)))
    return Interactions(user.copy(), item.copy(), None, USERS, ITEMS, time)


def settings() -> tuple[TrainParams, BaselinesParams]:
    train = TrainParams.load(ROOT / "params.yaml").model_dump()
    baselines = BaselinesParams.load(ROOT / "params.yaml").model_dump()
    small = {"embedding_dimension": 8, "batch_size": 16, "epochs": 4, "rating_weight": 0.0, "item_features": {}}
    return TrainParams(**(train | small)), BaselinesParams(**(baselines | {"trials": 2}))


def stretches(of_rows: Interactions) -> list[Stretch]:
    return stretches_of(of_rows, BacktestParams(cuts=2, days=2.0, bootstrap_samples=100, seed=1), None)


ITEM_TYPE = np.array(["", *["film"] * ITEMS])


def retrained(stretch: Stretch, start: retraining.WarmStart) -> retraining.Retrained:
    tf.keras.utils.set_random_seed(0)
    return retraining.retrain(stretch, *settings(), None, ITEM_TYPE, NO_FEATURES, start)


def test_nothing_after_a_cut_changes_the_models_of_the_cut() -> None:
    known = rows()
    first, second, _ = stretches(known)
    later = known.timestamp > second.since  # type: ignore[operator]
    other = known._replace(item_index=np.where(later, known.item_index % ITEMS + 1, known.item_index).astype(np.int32))
    changed = stretches(other)[1]
    assert (changed.test.item_index != second.test.item_index).all()
    start = retraining.first_start(first, settings()[0], None, NO_FEATURES)
    before, after = retrained(second, start), retrained(changed, start)
    assert before.rankers.keys() == after.rankers.keys()
    assert {MODEL, WARM_START, "ease", "item_knn", "ials", "recent_popular"} <= before.rankers.keys()
    for name, ranker in before.rankers.items():
        for scorer, same in ((ranker.scorer, "scorer"), (ranker.cold_scorer, "cold_scorer")):
            arrays, others = arrays_of(scorer), arrays_of(getattr(after.rankers[name], same))
            assert all(arrays[key].tobytes() == others[key].tobytes() for key in arrays), name


def test_each_warm_start_continues_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = stretches(rows())
    start = retraining.first_start(first, settings()[0], None, NO_FEATURES)
    starts: list[Any] = []
    fits: list[fitting.Fitted] = []

    def recorded(*args: Any, **options: Any) -> fitting.Fitted:
        starts.append(options.get("start"))
        fits.append(fitting.fit(*args, **options))
        return fits[-1]

    monkeypatch.setattr(retraining, "fit", recorded)
    following = retrained(second, start)
    assert starts[0] is None, "the model that is compared with it is fitted from nothing"
    expected = warm_start(start.vectors, second.known, start.recipe.seed)
    np.testing.assert_array_equal(starts[1].users, expected.users)
    np.testing.assert_array_equal(starts[1].items, expected.items)
    assert len(fits[1].epochs) == len(continued(start.recipe).temperatures)
    np.testing.assert_array_equal(following.next_start.vectors.users, fits[1].vectors().users)
    assert following.next_start.recipe is start.recipe
    retrained(third, following.next_start)
    expected = warm_start(fits[1].vectors(), third.known, start.recipe.seed)
    np.testing.assert_array_equal(starts[3].items, expected.items)


class Tagged(NamedTuple):
    """In place of a ranker: the cut that it is of."""

    since: int


def test_a_model_of_age_a_is_that_of_a_cuts_before(monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = [Stretch(since, *[rows()] * 3) for since in range(7)]
    monkeypatch.setattr(retraining, "first_start", lambda stretch, train, below, tables: f"start of {stretch.since}")
    starts: list[Any] = []

    def retrain(stretch: Stretch, *others: Any) -> retraining.Retrained:
        starts.append(others[-1])
        return retraining.Retrained({MODEL: Tagged(stretch.since)}, f"start of {stretch.since}", (2.0, 1.0))  # type: ignore[dict-item, arg-type]

    monkeypatch.setattr(retraining, "retrain", retrain)
    monkeypatch.setattr(stage, "read_item_types", lambda: ITEM_TYPE)
    monkeypatch.setattr(fitting, "seed_everything", lambda *args: None)
    monkeypatch.setattr(
        stage, "measured", lambda tested, name, age, ranker: (tested.since, name, age, tested.since - ranker.since)
    )
    monkeypatch.setattr(StretchUsers, "of", lambda number, stretch, below: stretch)
    results: Any
    results, seconds = stage.results_of(cuts, *settings(), None, NO_FEATURES)
    assert results == [(since, MODEL, age, age) for since in range(1, 7) for age in AGES if since - age >= 1]
    assert starts == [f"start of {since}" for since in range(6)]
    assert seconds == [2.0, 1.0]
