"""The main figures of an evaluation: reports/metrics.json, and the table that evaluate prints."""

from typing import NamedTuple

from stages.evaluate.evaluation import OVERALL, Slice
from stages.evaluate.tables import Tables
from towerline.artifacts.evaluate import DISLIKED, METRICS, DifferenceRow
from towerline.artifacts.names import MODEL, main_cutoff
from towerline.pipeline import formats

# Metrics of DVC by name, in the order of its tables.
Metrics = dict[str, float | int | dict[str, float | int]]

CAUTION = (
    "caution: the test set is not later than the training set: the figures say how well held-out rows are found, not "
    "how well the future is predicted"
)


class Summary(NamedTuple):
    """The main figures, all at one cutoff k.

    Attributes:
      k: the cutoff.
      figures: name of the model, then of the baselines -> recall@k, ndcg@k, disliked_recall@k, coverage@k and rmse, as
        far as it has them.
      lead: the difference in NDCG@k to the baseline with the highest NDCG@k; None where no baseline ranks.
      counts: users_ranked, cold_users, and users_not_drawn where there are any.
      dislikes: numbers of disliked test rows, and of all test rows.
    """

    k: int
    figures: dict[str, dict[str, float]]
    lead: DifferenceRow | None
    counts: dict[str, int]
    dislikes: tuple[int, int]

    @classmethod
    def of(cls, tables: Tables) -> "Summary":
        """The main figures of the tables."""
        k = main_cutoff([row.k for row in tables.metrics])
        figures: dict[str, dict[str, float]] = {}
        for row in tables.metrics:
            overall = Slice(row.candidates, row.by, row.value) == OVERALL
            if overall and row.k == k and row.metric in ("recall", "ndcg"):
                figures.setdefault(row.model, {})[f"{row.metric}@{k}"] = row.mean
            if row.by == DISLIKED and row.k == k:
                figures.setdefault(row.model, {})[f"disliked_recall@{k}"] = row.mean
        for shown in tables.exposure:
            if shown.k == k:
                figures[shown.model][f"coverage@{k}"] = shown.coverage
        for rating in tables.ratings:
            figures.setdefault(rating.model, {})["rmse"] = rating.rmse
        leads = [row for row in tables.differences if (row.metric, row.k) == ("ndcg", k)]
        # The mean of the model is the same in all differences: the smallest is that to the best baseline.
        lead = min(leads, key=lambda row: row.difference, default=None)
        counts = {row.name: row.number for row in tables.counts}
        of_users = {name: counts[name] for name in ("users_ranked", "cold_users")}
        if counts.get("users_not_drawn"):
            of_users["users_not_drawn"] = counts["users_not_drawn"]
        rows = counts["disliked_test_rows"], counts["test_rows"]
        return cls(k, figures, lead, of_users, rows)

    def metrics(self) -> Metrics:
        """The content of reports/metrics.json, at most 30 numbers.

        The figures of the model come first and have no prefix: `dvc exp show` has a column as wide as the name for each
        number, and shows only the first ones without scrolling. Of the rating baselines, only the best is included.
        """
        metrics: Metrics = dict(self.figures[MODEL])
        if self.lead is not None:
            metrics["lead"] = {f"ndcg@{self.k}": self.lead.difference, "p": self.lead.p_adjusted}
        baselines = {name: figures for name, figures in self.figures.items() if name != MODEL}
        rating = [name for name, figures in baselines.items() if "rmse" in figures]
        best = min(rating, key=lambda name: baselines[name]["rmse"], default=None)
        for name, figures in baselines.items():
            if name not in rating or name == best:
                metrics[name] = dict(figures)
        metrics["counts"] = dict(self.counts)
        return metrics

    def write(self) -> None:
        """Writes reports/metrics.json."""
        formats.write_json(METRICS, self.metrics(), formats.PUBLIC_DECIMALS, sort_keys=False)

    def text(self, later: bool, only_type: str | None = None) -> str:
        """The counts in a line, the figures as a table, the lead in a line, and the caution where it applies.

        The model comes first in the table, then the baselines by NDCG, the best first, then those that do not rank.

        Args:
          later: true if the test set is later than the training set.
          only_type: the type of the items that are ranked; None if all items are.
        """
        titles = {
            f"recall@{self.k}": f"recall@{self.k}",
            f"ndcg@{self.k}": f"NDCG@{self.k}",
            f"disliked_recall@{self.k}": f"disliked@{self.k}",
            f"coverage@{self.k}": f"coverage@{self.k}",
            "rmse": "RMSE",
        }
        names = [name for name in titles if name in self.figures[MODEL] or not name.startswith("disliked")]
        width = max(map(len, self.figures)) + 2
        lines = [f"{self.counts['users_ranked']:,} users ranked, {self.counts['cold_users']:,} cold"]
        if "users_not_drawn" in self.counts:
            lines[0] += f"; {self.counts['users_not_drawn']:,} others with test rows were not drawn (evaluate.users)"
        if only_type is not None:
            lines[0] += f"; items of type {only_type} alone are ranked, since the test set has no others"
        lines.append(_line("", [titles[name] for name in names], width))
        for model in sorted(self.figures, key=self._place):
            figures = self.figures[model]
            cells = [f"{figures[name]:.4f}" if name in figures else "" for name in names]
            lines.append(_line(model, cells, width))
        if len(names) == len(titles):
            lines.append(
                f"{self.dislikes[0]:,} of {self.dislikes[1]:,} test rows are dislikes, which are not relevant; "
                f"disliked@{self.k} is the share of them that is shown: the lower, the better"
            )
        if self.lead is not None:
            lines.append(_lead_line(self.lead))
        return "\n".join(lines if later else [*lines, CAUTION])

    def _place(self, name: str) -> tuple[bool, float]:
        return name != MODEL, -self.figures[name].get(f"ndcg@{self.k}", -1.0)


def _line(name: str, cells: list[str], width: int) -> str:
    return (f"{name:<{width}}" + "".join(f"{cell:>14}" for cell in cells)).rstrip()


def _lead_line(lead: DifferenceRow) -> str:
    p = f"= {lead.p_adjusted:.2g}" if lead.p_adjusted >= 0.0001 else "< 0.0001"
    return (
        f"lead over {lead.baseline}, the best baseline: NDCG@{lead.k} {lead.difference:+.4f} "
        f"(95 % interval {lead.low:+.4f} to {lead.high:+.4f}, p {p} after Holm's correction)"
    )
