"""The first section: comparison with the best baseline, cautions, and the origin of the figures."""

import math

import numpy as np

from stages.report import findings
from stages.report.findings import Comparison
from stages.report.inputs import Inputs, rows_of
from stages.report.page_blocks import Block, Caution, Facts, Note, Section, Terms
from stages.report.wording import count, counted, decimal, interval, metric_at, model_label, percent
from towerline.artifacts.evaluate import CONSUMED, EVERYTHING, ITEMS
from towerline.artifacts.names import MODEL

HEADLINE_METRICS = ("ndcg", "recall")


def section(data: Inputs) -> Section:
    """The verdict as the heading, then the figures that support it and the cautions."""
    compared = comparisons(data)
    blocks: list[Block] = [Note(findings.comparison_sentence(comparison)) for comparison in compared]
    urgent = findings.few_users(test_users(data))
    if urgent:
        blocks.append(Caution([urgent], urgent=True))
    blocks.append(_facts(data))
    warnings = cautions(data)
    if warnings:
        blocks.append(Caution(warnings))
    blocks.append(_origin(data))
    return Section("summary", "Summary", blocks, heading=findings.verdict(compared))


def comparisons(data: Inputs) -> list[Comparison]:
    """The model and the best baseline by each headline metric at the main cutoff.

    If several baselines share the best mean, the interval and p value are those of the largest p value.
    """
    k = data.cutoff()
    overall = data.overall()
    compared = []
    for metric in HEADLINE_METRICS:
        rows = overall[(overall["metric"] == metric) & (overall["k"] == k)]
        own, others = rows[rows["model"] == MODEL], rows[rows["model"] != MODEL]
        if not len(own) or not len(others):
            continue
        best = float(others["mean"].max())
        names = others.loc[others["mean"] == best, "model"].tolist()
        of_best = data.differences[
            (data.differences["metric"] == metric)
            & (data.differences["k"] == k)
            & data.differences["baseline"].isin(names)
        ].sort_values("p_adjusted", ascending=False, kind="stable")
        tested = of_best[["low", "high", "p_adjusted"]].iloc[0].tolist() if len(of_best) else [math.nan] * 3
        labels = [model_label(name) for name in names]
        low, high, p_adjusted = map(float, tested)
        mean, family = float(own["mean"].iloc[0]), len(data.differences)
        compared.append(Comparison(metric_at(metric, k), mean, best, labels, low, high, p_adjusted, family))
    return compared


def test_users(data: Inputs) -> int:
    """The number of users in the overall means."""
    return int(data.overall()["users"].max())


def cautions(data: Inputs) -> list[str]:
    """Limits of the verdict that follow from the figures of the page."""
    k = data.cutoff()
    table = data.exposure.set_index("model")
    shown = table[table["k"] == k]
    head, coverage = shown["head"].to_dict(), shown["coverage"].to_dict()
    consumed = table["head"].to_dict().get(CONSUMED)
    recall = data.metrics[
        (data.metrics["model"] == MODEL)
        & (data.metrics["candidates"] == EVERYTHING)
        & (data.metrics["by"] == ITEMS)
        & (data.metrics["metric"] == "recall")
        & (data.metrics["k"] == k)
    ]
    by_popularity = recall.set_index("value")["mean"].to_dict()
    texts: list[str | None] = [*baselines_left_out(data)]
    texts.append(findings.sample_caution(*data.drawn_users()))
    texts.append(findings.split_caution(str(data.settings["split"]["method"]), older_test_rows(data)))
    if MODEL in head and consumed is not None:
        texts.append(findings.head_caution(head[MODEL], consumed))
    if {"head", "tail"} <= set(by_popularity):
        texts.append(findings.tail_caution(f"Recall@{k}", by_popularity["head"], by_popularity["tail"]))
    baseline = next((name for name in data.best_baselines() if name in coverage), None)
    if MODEL in coverage and baseline is not None:
        texts.append(findings.coverage_caution(coverage[MODEL], coverage[baseline], model_label(baseline)))
    return [text for text in texts if text]


def baselines_left_out(data: Inputs) -> list[str]:
    """A caution for each baseline of which all settings were left out because of their memory."""
    limit = float(data.settings["baselines"]["memory_limit"])
    return [
        findings.baseline_left_out(model_label(str(name)), float(of_baseline["left_out_gb"].min()), limit)
        for name, of_baseline in data.trials.groupby("baseline", sort=False)
        if of_baseline["left_out_gb"].notna().all()
    ]


def older_test_rows(data: Inputs) -> float:
    """The share of test rows that are older than the newest known row; NaN where there are no times."""
    known = data.rows("train", "validation").timestamp
    test = data.sets["test"].timestamp
    if known is None or test is None or not len(known) or not len(test):
        return math.nan
    return float(np.mean(test < known.max()))


def _facts(data: Inputs) -> Facts:
    k = data.cutoff()
    overall = data.overall()
    own = overall[(overall["model"] == MODEL) & (overall["k"] == k)]
    facts = [
        (decimal(row.mean), metric_at(metric, k), f"95% interval {interval(row.low, row.high)}")
        for metric in HEADLINE_METRICS
        for row in rows_of(own[own["metric"] == metric])
    ]
    facts.append((count(test_users(data)), "test users", ""))
    shown = data.exposure[(data.exposure["model"] == MODEL) & (data.exposure["k"] == k)]
    facts += [(percent(row.coverage), f"coverage@{k}", "of the catalogue") for row in rows_of(shown)]
    return Facts(facts)


def _origin(data: Inputs) -> Terms:
    ingest, split, train = (data.settings[name] for name in ("ingest", "split", "train"))
    read = data.ingest
    sizes = f"{counted(read['rows_kept'], 'row')}, {counted(read['users'], 'user')}, {counted(read['items'], 'item')}"
    seed = f"seed {split['seed']}" if split["method"] in ("random", *findings.DRAWN) else ""
    sizes_of_sets = ", ".join(f"{name} {count(len(rows.user_index))}" for name, rows in data.sets.items())
    model = [
        f"{train['embedding_dimension']} dimensions",
        str(train["loss"]),
        f"at most {counted(train['epochs'], 'epoch')}",
        f"seed {train['seed']}",
    ]
    return Terms(
        [
            ("Data", f"{ingest['source']}: {sizes}"),
            ("Split", "; ".join(filter(None, [str(split["method"]), seed, sizes_of_sets]))),
            ("Model", ", ".join(model)),
            ("Inputs", f"digest {data.digest()}, the files under Settings"),
        ]
    )
