"""All sections of params.yaml together, and the rules between them.

Section.load() imports this module where it is there. A stage may refuse to run because of it, and writes nothing that
depends on it, so no stage lists it in dvc.yaml.
"""

from stages.backtest.params import BacktestParams
from stages.evaluate.params import EvaluateParams
from stages.export.params import ExportParams
from stages.ingest.params import IngestParams
from stages.refit.params import RefitParams
from stages.split.params import SplitParams
from stages.transfer.params import TransferParams
from towerline.baseline_models.params import BaselinesParams
from towerline.feedback.params import DislikesParams, without_ratings
from towerline.pipeline.settings import rule_between
from towerline.tables.params import EngineParams
from towerline.training.params import TrainParams

SECTIONS = (
    IngestParams,
    SplitParams,
    DislikesParams,
    TrainParams,
    RefitParams,
    BaselinesParams,
    EvaluateParams,
    TransferParams,
    ExportParams,
    EngineParams,
    BacktestParams,
)


@rule_between(IngestParams, SplitParams)
def _split_has_its_column(ingest: IngestParams, split: SplitParams) -> None:
    needed = split.needed_column
    if needed is not None and needed not in ingest.columns.roles():
        raise ValueError(split.without_column("null"))


@rule_between(IngestParams, TrainParams)
def _rating_task_has_ratings(ingest: IngestParams, train: TrainParams) -> None:
    if train.rating_weight and ingest.columns.rating is None:
        raise ValueError(
            f"train.rating_weight: expected 0 where ingest.columns.rating is null, found {train.rating_weight:g}; set "
            "it to 0, or name the ratings' column in ingest.columns.rating"
        )


@rule_between(IngestParams, DislikesParams)
def _dislikes_have_ratings(ingest: IngestParams, dislikes: DislikesParams) -> None:
    below, most = dislikes.below, ingest.maximum_allowed_rating
    if below is not None and ingest.columns.rating is None:
        raise ValueError(without_ratings(below, "ingest.columns.rating is null"))
    if isinstance(below, float) and most is not None and below > most:
        raise ValueError(
            f"dislikes.below: expected at most ingest.maximum_allowed_rating, {most:g}, found {below:g}; all rows "
            "would be dislikes"
        )


@rule_between(IngestParams, TrainParams)
def _half_life_has_times(ingest: IngestParams, train: TrainParams) -> None:
    if train.popularity_half_life is not None and ingest.columns.timestamp is None:
        raise ValueError(train.without_times("ingest.columns.timestamp is null"))


@rule_between(IngestParams, TrainParams)
def _features_have_a_file(ingest: IngestParams, train: TrainParams) -> None:
    of_users, of_items = (ingest.users, train.user_features), (ingest.items, train.item_features)
    for ids, (path, features) in (("user", of_users), ("item", of_items)):
        if features and path is None:
            raise ValueError(
                f"train.{ids}_features: expected {{}} where ingest.{ids}s is null, found {', '.join(features)}; set it "
                f"to {{}}, or name the file with these columns in ingest.{ids}s"
            )


@rule_between(SplitParams, TrainParams)
def _validation_part_is_there(split: SplitParams, train: TrainParams) -> None:
    if split.has_sizes and not split.validation and not split.validation_share:
        train.check_without_validation("split.validation and split.validation_share are 0")
