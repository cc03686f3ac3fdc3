"""Backtest: at each of several cuts in time, all models are fitted to the rows before and tested on the stretch after.

As in use, where a model is fitted again every week and asked what comes next. Settings are chosen at each cut on the
stretch before it, then the models are fitted to all rows up to the cut. Models of earlier cuts are tested as well,
which shows what it costs to retrain less often.

Reads: data/interactions.parquet, data/vocabulary/*.parquet.
Writes: reports/backtest/*.
Parameters: train, baselines, dislikes, backtest, engine.
"""

from collections import deque

import numpy as np

from stages.backtest.params import BacktestParams
from stages.backtest.picture import drawn
from stages.backtest.ranker import Ranker
from stages.backtest.results import (
    AGES,
    Measured,
    StretchUsers,
    measured,
    retraining_rows,
    stretch_rows,
    summary_rows,
)
from stages.backtest.stretches import Stretch, day, read_all, stretches_of
from towerline.artifacts.backtest import (
    BACKTEST,
    KNOWN,
    PICTURE,
    RETRAINING_TABLE,
    STRETCHES_TABLE,
    SUMMARY_TABLE,
    WARM_START,
    RetrainingRow,
    StretchRow,
    SummaryRow,
)
from towerline.artifacts.names import MODEL, RANDOM
from towerline.artifacts.vocabulary import read_item_types
from towerline.baseline_models.params import BaselinesParams
from towerline.features.reading import FeatureTables, read_features
from towerline.feedback.params import Below, DislikesParams
from towerline.pipeline import formats
from towerline.pipeline.terminal import progress, run
from towerline.training.params import TrainParams


def results_of(
    stretches: list[Stretch], train: TrainParams, baselines: BaselinesParams, below: Below, tables: FeatureTables
) -> tuple[list[Measured], list[float]]:
    """Fits and measures all models at all cuts.

    Args:
      stretches: from stretches_of().
      train, baselines: the sections of params.yaml.
      below: rows with lower ratings are dislikes.
      tables: the declared features.

    Returns:
      The metrics, and the mean seconds of a cut for the two towers, from nothing and with a warm start.
    """
    # TensorFlow takes seconds to import; errors in parameters and data are reported before.
    from stages.backtest.retraining import first_start, retrain
    from towerline.training.fitting import seed_everything

    seed_everything(train.seed, train.threads, train.device)
    item_type = read_item_types()
    results: list[Measured] = []
    durations: list[tuple[float, float]] = []
    # The models of the last cuts, the newest first.
    recent: deque[dict[str, Ranker]] = deque(maxlen=max(AGES) + 1)
    with progress(what="backtest", unit="cut", total=len(stretches)) as bar:
        start = first_start(stretches[0], train, below, tables)
        bar.update()
        for number, stretch in enumerate(stretches[1:], 1):
            retrained = retrain(stretch, train, baselines, below, item_type, tables, start)
            start = retrained.next_start
            durations.append(retrained.seconds)
            recent.appendleft(retrained.rankers)
            tested = StretchUsers.of(number, stretch, below)
            for age in AGES:
                if age < len(recent):
                    results += [measured(tested, name, age, model) for name, model in recent[age].items()]
            bar.update()
    return results, np.mean(durations, axis=0).tolist()


def text(stretches: list[Stretch], summary: list[SummaryRow], retraining: list[RetrainingRow]) -> str:
    """The means over the stretches as a table, the smallest lead, and what retraining less often costs."""
    known = [row for row in summary if row.users == KNOWN]
    k, width = known[0].k, max(len(row.model) for row in known) + 2
    lines = [
        f"{len(stretches) - 1} cuts from {day(stretches[1].since)} to {day(stretches[-1].since)}; "
        f"{known[0].number:,} users with earlier rows",
        f"{'':<{width}}{f'recall@{k}':>14}{f'NDCG@{k}':>14}    95 % interval",
    ]
    for row in known:
        interval = f"{row.ndcg_low:.4f} to {row.ndcg_high:.4f}"
        lines.append(f"{row.model:<{width}}{row.recall:>14.4f}{row.ndcg:>14.4f}    {interval}")
    baselines = [row for row in known if row.model not in (MODEL, WARM_START)]
    if baselines:
        best = baselines[0]
        lines.append(
            f"lead over {best.model}, the best baseline: NDCG@{k} {best.lead:+.4f} (95 % interval {best.lead_low:+.4f} "
            f"to {best.lead_high:+.4f}, p = {best.p_adjusted:.2g} after Holm's correction)"
        )
    ages = [row for row in retraining if row.model == MODEL]
    if len(ages) > 1:
        by_age = ", ".join(f"{row.ndcg:.4f} of age {row.age}" for row in ages)
        last = "the last stretch" if ages[0].stretches == 1 else f"the last {ages[0].stretches} stretches"
        lines.append(f"NDCG@{k} of {MODEL} on {last} by its age in stretches: {by_age}")
    return "\n".join(lines)


def main() -> str:
    params, train, baselines = BacktestParams.load(), TrainParams.load(), BaselinesParams.load()
    below = DislikesParams.load().below
    stretches = stretches_of(read_all(), params, below)
    tables = read_features(train.user_features, train.item_features)
    results, (cold, warm) = results_of(stretches, train, baselines, below, tables)
    summary = summary_rows(results, params.bootstrap_samples, params.seed)
    retraining = retraining_rows(results, params.bootstrap_samples, params.seed)
    rows = stretch_rows(results)
    models = [row.model for row in summary if row.users == KNOWN and row.model != RANDOM]
    with formats.replacing(BACKTEST) as folder:
        folder.mkdir()
        for path, row_type, of_table in (
            (STRETCHES_TABLE, StretchRow, rows),
            (SUMMARY_TABLE, SummaryRow, summary),
            (RETRAINING_TABLE, RetrainingRow, retraining),
        ):
            formats.write_csv(folder / path.name, row_type._fields, of_table, formats.PUBLIC_DECIMALS)
        (folder / PICTURE.name).write_text(drawn(rows, retraining, models), encoding="utf-8", newline="\n")
    duration = f"{cold:.0f} s from nothing (search and fit), {warm:.0f} s with a warm start"
    return f"{text(stretches, summary, retraining)}\nmean duration of the training of the two towers: {duration}"


if __name__ == "__main__":
    run("backtest", main)
