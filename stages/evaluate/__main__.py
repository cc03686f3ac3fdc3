"""Model, baselines and test set -> metrics with their intervals, differences and plots.

The whole catalogue is ranked for every user with test items, the user's training and validation items left out; equal
scores are ordered by index. Means are over users. Users without rows in either set, but for dislikes, are cold users
and reported separately. Dislikes are not relevant; how many of them are shown is a metric of its own.

Reads: models/two_tower/{user,item}_embeddings.npy, rating_head.npz, models/baselines/*.npz, data/split/*.parquet,
  data/vocabulary/items.parquet.
Writes: reports/metrics.json, reports/plots/*.csv,
  reports/tables/{metrics,differences,exposure,ratings,test_set,tutorial}.csv.
Parameters: evaluate, dislikes.
"""

from stages.evaluate.data import Sample, read_data
from stages.evaluate.models import Models
from stages.evaluate.params import EvaluateParams
from stages.evaluate.plots import write_plots
from stages.evaluate.summary import Summary
from stages.evaluate.tables import Tables
from towerline.artifacts.evaluate import WITHIN_TYPE
from towerline.feedback.params import DislikesParams
from towerline.pipeline.terminal import run


def main() -> str:
    params, below = EvaluateParams.load(), DislikesParams.load().below
    cutoffs = sorted(params.cutoffs)
    sample = None if params.users is None else Sample(params.users, params.seed)
    data = read_data(params.repeat_consumption, below, sample)
    models = Models.read(data.known, below)
    evaluations = models.evaluations(data, cutoffs, WITHIN_TYPE in params.candidates)
    tables = Tables.of(models, evaluations, data, cutoffs, params.bootstrap_samples, params.seed)
    summary = Summary.of(tables)
    tables.write()
    write_plots(tables.metrics, data.types())
    summary.write()
    return summary.text(data.is_test_set_later(), data.only_type())


if __name__ == "__main__":
    run("evaluate", main)
