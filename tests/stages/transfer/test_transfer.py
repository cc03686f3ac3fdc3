"""The stage transfer: planted tastes that two types share or not, and what is measured at all."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from stages.transfer import __main__ as stage
from stages.transfer.measuring import sources, targets, transfer_rows
from tests.conftest import set_params
from tests.towerline.training.conftest import fit, params
from towerline.artifacts.evaluate import METRICS_TABLE
from towerline.artifacts.names import MODEL
from towerline.artifacts.split import Interactions
from towerline.artifacts.transfer import TRANSFER_TABLE, TransferRow
from towerline.artifacts.vocabulary import read_item_types
from towerline.ranking.scorers import Embeddings, by_popularity
from towerline.training import fitting

USERS, ITEMS_OF_TYPE, GROUPS = 240, 60, 3
TYPES = np.array(["", *["book"] * ITEMS_OF_TYPE, *["film"] * ITEMS_OF_TYPE])


def planted(*, shared: bool) -> tuple[Interactions, Interactions]:
    """Known rows and test set: ten known books of the user's group, and a known film and three test films of a group.

    The group in films is that in books, or drawn again.
    """
    draw = np.random.default_rng(8)
    known, test = [], []
    for user in range(1, USERS + 1):
        group = user % GROUPS
        of_films = group if shared else int(draw.integers(GROUPS))
        books = draw.permutation(np.arange(1 + group, ITEMS_OF_TYPE + 1, GROUPS))
        films = draw.permutation(np.arange(ITEMS_OF_TYPE + 1 + of_films, 2 * ITEMS_OF_TYPE + 1, GROUPS))
        known += [(user, item) for item in [*books[:10], films[0]]]
        test += [(user, item) for item in films[1:4]]
    return rows_of(known), rows_of(test)


def rows_of(pairs: list[tuple[int, int]]) -> Interactions:
    users, items = np.array(pairs, np.int32).T.copy()
    return Interactions(users, items, None, USERS, 2 * ITEMS_OF_TYPE)


def fitted(rows: Interactions) -> Embeddings:
    return fit(params(epochs=5), rows).embeddings()


def measured(
    known: Interactions,
    test: Interactions,
    item_type: NDArray[np.str_] = TYPES,
    fitted: Callable[[Interactions], Embeddings] = fitted,
) -> list[TransferRow]:
    to = targets(known, test, item_type)
    return transfer_rows(fitted(known), fitted, known, sources(known, item_type, to), item_type, to, seed=1)


def test_books_help_films_where_tastes_agree_and_not_where_they_are_independent() -> None:
    agreeing, independent = (measured(*planted(shared=shared)) for shared in (True, False))
    for rows in (agreeing, independent):
        # Nobody has books in the test set.
        assert [(row.from_type, row.to_type, row.metric, row.k, row.users) for row in rows] == [
            ("book", "film", metric, 20, USERS) for metric in ("ndcg", "recall")
        ]
    for row in agreeing:
        assert row.difference == pytest.approx(row.mean_with - row.mean_without)
        assert 0.1 < row.low < row.difference < row.high
    assert all(row.low < 0 < row.high for row in independent)


def test_users_who_have_rows_of_the_type_alone_are_ranked_by_popularity_without_it() -> None:
    """As with split.method cold_type: the test users have no known film."""
    known, test = planted(shared=True)
    tested = test.user_index <= USERS // 4
    is_film_of_tested = (known.item_index > ITEMS_OF_TYPE) & (known.user_index <= USERS // 4)
    known, test = known.where(~is_film_of_tested), test.where(tested)
    rows = measured(known, test)
    films = known.where(known.item_index > ITEMS_OF_TYPE)
    popular = targets(known, test, TYPES)[0].measured(by_popularity(films)).mean(axis=0)
    assert [row.mean_without for row in rows] == pytest.approx(popular)
    assert all(row.low > 0.03 for row in rows)


def test_a_type_is_left_out_only_where_others_have_known_rows_and_test_items() -> None:
    known, test = planted(shared=True)
    to = targets(known, test, TYPES)
    assert [target.kind for target in to] == ["film"]
    assert sources(known, TYPES, to) == ["book"]
    assert sources(known, np.array(["", *["film"] * 2 * ITEMS_OF_TYPE]), to) == []
    of_books = known.where(known.item_index <= ITEMS_OF_TYPE)
    assert sources(of_books, TYPES, to) == []
    # Users without known rows count for no type.
    assert targets(known.where(known.user_index > 1), test.where(test.user_index == 1), TYPES) == []


def test_the_stage_measures_what_evaluate_does_and_leaves_out_each_type(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.read_csv(TRANSFER_TABLE)
    assert list(table.columns) == list(TransferRow._fields)
    assert table[["from_type", "to_type"]].drop_duplicates().to_numpy().tolist() == [["book", "film"], ["film", "book"]]
    set_params(project, {"evaluate.cutoffs": [20]})
    from stages.evaluate import __main__ as evaluate

    evaluate.main()
    metrics = pd.read_csv(METRICS_TABLE)
    of_model = metrics[(metrics["model"] == MODEL) & (metrics["candidates"] == "within_type")]
    means = of_model.set_index(["value", "metric"])["mean"]
    for row in table.itertuples():
        assert row.mean_with == pytest.approx(means[str(row.to_type), str(row.metric)], abs=1e-6)
    known_types: list[set[str]] = []
    original = fitting.fit

    def recorded(recipe: object, rows: Interactions, *args: object, **options: object) -> fitting.Fitted:
        known_types.append(set(read_item_types()[rows.item_index]))
        return original(recipe, rows, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(fitting, "fit", recorded)
    monkeypatch.setattr(fitting, "seed_everything", lambda *args: None)
    printed = stage.main().splitlines()
    assert known_types == [{"film"}, {"book"}]
    assert printed[0] == "2 fits, each without the rows of a type"
    assert printed[-1].startswith("caution: ")


@pytest.mark.parametrize(
    ("types", "max_types", "reason"),
    [
        (["film"], 3, "the data has a single item type"),
        (["book", "film"], 1, "the data has 2 item types, and transfer.max_types is 1"),
        (["book", "film"], 0, "the data has 2 item types, and transfer.max_types is 0"),
    ],
)
def test_with_one_type_or_too_many_the_table_is_its_header(
    types: list[str], max_types: int, reason: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = len(read_item_types())
    kinds = np.array(["", *(types[number % len(types)] for number in range(items - 1))])
    monkeypatch.setattr(stage, "read_item_types", lambda: kinds)
    set_params(project, {"transfer.max_types": max_types})
    assert stage.main() == f"nothing is measured: {reason}"
    assert TRANSFER_TABLE.read_text() == ",".join(TransferRow._fields) + "\n"
