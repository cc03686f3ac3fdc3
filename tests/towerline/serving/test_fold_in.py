"""Vectors for users that training has not seen, from their histories."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import towerline
from tests.conftest import commit_all, copy_project, run, set_params
from tests.towerline.serving.conftest import K, Slow, pairs
from towerline.ranking.user_items import UserItems
from towerline.serving.fold_in import STEP, folded_in


def test_a_folded_in_vector_is_a_step_up_the_likelihood_of_the_history() -> None:
    draw = np.random.default_rng(1)
    items = draw.normal(size=(30, 5))
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    items[29] = 0
    prior, long_term = draw.normal(size=(2, 30)) / 5
    exported = np.column_stack([items, long_term, prior]).astype(np.float32)
    history = UserItems.of_pairs(np.array([0, 0, 2, 3], np.int32), np.array([4, 9, 11, 29], np.int32), num_rows=4)
    vectors = folded_in(history, exported, temperature=0.3)
    assert vectors.dtype == np.float32
    for row, own in enumerate([[4, 9], [], [11], [29]]):
        if own in ([], [29]):
            np.testing.assert_allclose(vectors[row], [0, 0, 0, 0, 0, len(own) / (len(own) + 5), 1], rtol=1e-6)
            continue
        mean = items[own].mean(axis=0)
        others = [item for item in range(30) if item not in own]
        direction = mean / np.linalg.norm(mean)
        known = len(own) / (len(own) + 5)
        scores = items @ direction + prior + known * long_term
        chance = {item: np.exp(scores[item] / 0.3) for item in others}
        expected = sum(chance[item] * items[item] for item in others) / sum(chance.values())
        direct = mean - STEP * expected
        np.testing.assert_allclose(vectors[row], [*direct / np.linalg.norm(direct), known, 1], rtol=2e-5, atol=1e-6)


def test_a_history_is_answered_like_a_user_and_better_than_popularity(
    recommender: towerline.Recommender, slow: Slow
) -> None:
    """The planted users like most items of their group, and hardly any popular items of other groups."""
    users = list(slow.users)
    shown = recommender.recommend_for_history_batch(
        [sorted(slow.seen[user])[::2] for user in users], 5, exclude_seen=True
    )
    popular = recommender.recommend_batch(["nobody"], 5, unknown="popular")[0]
    hits = [
        sum((item.item_type, item.item_id) in slow.seen[user] for item in answer)
        for user, answer in zip(users, shown, strict=True)
    ]
    by_chance = [sum((item.item_type, item.item_id) in slow.seen[user] for item in popular) for user in users]
    assert np.mean(hits) > 2 * np.mean(by_chance)
    for user, answer in zip(users, shown, strict=True):
        assert not {(item.item_type, item.item_id) for item in answer} & set(sorted(slow.seen[user])[::2])
    history = sorted(slow.seen["u3"])
    assert recommender.recommend_for_history(history[::-1] + history, 5) == recommender.recommend_for_history(
        history, 5
    )
    # Nothing known: the prior alone.
    empty = recommender.recommend_for_history([], K)
    assert pairs(empty) == slow.ordered({item: vector[-1] for item, vector in slow.items.items()}, K)


@pytest.mark.slow
def test_folding_in_beats_most_popular_for_users_whom_training_never_saw(tmp_path: Path) -> None:
    """MovieTweetings without every tenth user; a random half of the items of each of these is the history."""
    project = copy_project(tmp_path)
    rows = pd.read_csv(project / "data/raw/preferences.csv.gz", dtype=str, keep_default_na=False)
    held_out = set(sorted(rows.user_id.unique())[::10])
    away = rows.user_id.isin(held_out)
    rows[~away].to_csv(project / "data/raw/others.csv", index=False)
    set_params(project, {"ingest.source": "data/raw/others.csv"})
    commit_all(project)
    run(project, "dvc", "repro", "export")
    recommender = towerline.open(project / "exports")
    exported = recommender.exported
    known = list(zip(exported.item_types.to_pylist(), exported.item_ids.to_pylist(), strict=True))
    there = set(known)
    num_users = np.bincount(exported.seen.items, minlength=len(known))
    by_users = [known[row] for row in np.argsort(-num_users, kind="stable")]
    histories, relevant = [], []
    draw = np.random.default_rng(0)
    for _, of_user in rows[away].sample(frac=1, random_state=draw).groupby("user_id"):
        items = [item for item in zip(of_user.item_type, of_user.item_id, strict=True) if item in there]
        if len(items) >= 4:
            histories.append(items[: len(items) // 2])
            relevant.append(set(items[len(items) // 2 :]))
    assert len(histories) > 500

    def recall(answers: list[list[tuple[str, str]]]) -> float:
        shares = [len(set(answer) & items) / len(items) for answer, items in zip(answers, relevant, strict=True)]
        return float(np.mean(shares))

    popular = [[item for item in by_users if item not in history][:20] for history in histories]
    folded = [[row[:2] for row in answer] for answer in recommender.recommend_for_history_batch(histories, 20)]
    assert recall(folded) > 1.1 * recall(popular)
