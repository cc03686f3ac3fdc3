"""Writes one page of all results, for readers who did not write the pipeline.

The page is self-contained: charts, their script and their data are in it, and it makes no request to the network.

Reads: reports/ingest.json, training.csv, vega.js, tables/*.csv, data/rejected.parquet, data/split/*.parquet,
  data/vocabulary/*.parquet, models/two_tower/{user,item}_embeddings.npy, and the best baseline in models/baselines.
Writes: reports/report.html.
Parameters: ingest, split, train, baselines, evaluate, which the page shows.
"""

from pathlib import Path

from stages.report import page
from stages.report.inputs import read_inputs
from towerline.pipeline import formats
from towerline.pipeline.terminal import run

REPORT = Path("reports/report.html")


def main() -> str:
    html = page.render(read_inputs())
    with formats.replacing(REPORT) as unfinished:
        unfinished.write_text(html, encoding="utf-8", newline="\n")
    return f"{REPORT}: {len(html.encode()):,} bytes"


if __name__ == "__main__":
    run("report", main)
