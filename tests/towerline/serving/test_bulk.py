"""`recommend-all`: one file for all users, written whole or not at all (law 8)."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import towerline
from tests.conftest import run
from tests.towerline.serving.conftest import ask
from towerline.serving.bulk import write_recommendations


def test_all_users_go_into_one_file_and_an_interrupted_one_leaves_none(
    exports: Path, recommender: towerline.Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = ask(exports, "recommend-all", "--k", "5", "--type", "book", "--out", str(tmp_path / "all.parquet"))
    table = pq.read_table(tmp_path / "all.parquet")
    assert table.schema.names == ["user_id", "rank", "item_type", "item_id", "score"]
    assert done.stdout == f"{tmp_path / 'all.parquet'}: {len(table):,} rows for 60 users\n"
    users = recommender.exported.user_ids.to_pylist()
    expected = [
        {"user_id": user, "rank": rank, "item_type": item.item_type, "item_id": item.item_id, "score": item.score}
        for user, answer in zip(users, recommender.recommend_batch(users, 5, item_type="book"), strict=True)
        for rank, item in enumerate(answer, start=1)
    ]
    assert table.to_pylist() == expected
    from towerline.serving import bulk

    monkeypatch.setattr(bulk, "BLOCK_ROWS", 35)
    seen: list[int] = []
    rows = bulk.write_recommendations(recommender, tmp_path / "blocks.parquet", 5, "book", True, seen.append)
    assert (rows, seen) == (len(expected), [7] * 8 + [4])
    assert pq.read_table(tmp_path / "blocks.parquet").to_pylist() == expected

    def stop(users: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bulk.write_recommendations(recommender, tmp_path / "stopped.parquet", 5, None, True, stop)
    assert {path.name for path in tmp_path.iterdir()} == {"all.parquet", "blocks.parquet"}


def test_all_users_go_through_a_link_and_over_no_pipe_device_or_folder(exports: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.parquet").symlink_to("real/all.parquet")
    ask(exports, "recommend-all", "--k", "2", "--out", str(tmp_path / "link.parquet"))
    assert (tmp_path / "link.parquet").is_symlink()
    assert len(pq.read_table(tmp_path / "real/all.parquet")) == 120
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["all.parquet"]
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to_null").symlink_to(os.devnull)
    (tmp_path / "round").symlink_to("round")
    for name, message in [
        ("pipe", "expected a regular file or a new name, found a pipe; "),
        ("to_null", "expected a regular file or a new name, found a device; "),
        ("real", "expected a regular file or a new name, found a folder; "),
        ("none/all.parquet", "expected an existing folder to write to, found none; "),
        ("link.parquet/all.parquet", "expected an existing folder to write to, found none; "),
        ("round", "Too many levels of symbolic links"),
    ]:
        done = ask(exports, "recommend-all", "--out", str(tmp_path / name), check=False)
        assert done.returncode == 1
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "pipe").is_fifo()
    assert Path(os.devnull).is_char_device()
    assert not (tmp_path / "none").exists()


def test_two_that_write_one_file_do_not_meet_and_leftovers_of_the_dead_go(
    recommender: towerline.Recommender, tmp_path: Path
) -> None:
    out = tmp_path / "all.parquet"
    leftover = tmp_path / f".unfinished.all.parquet.{'0' * 16}"
    others = {".unfinished.all.parquet", ".unfinished.all.parquet.mine", f".unfinished.other.{'0' * 16}"}
    for name in (leftover.name, *others):
        (tmp_path / name).touch()
    (tmp_path / f".unfinished.all.parquet.{'1' * 16}").mkdir()

    def another(users: int) -> None:
        inner.append(write_recommendations(recommender, out, 5, None, True, lambda users: None))
        assert len(pq.read_table(out)) == inner[0]
        assert not leftover.exists()

    inner: list[int] = []
    assert write_recommendations(recommender, out, 2, None, True, another) == len(pq.read_table(out)) == 120
    assert inner == [300]
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"all.parquet", *others}
    (tmp_path / "plain").touch()
    assert out.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["copy/seen_items.npy", "copy/new.parquet", "to/seen_items.npy", "cache", "into"])
def test_nothing_is_written_into_the_export_that_is_read(exports: Path, tmp_path: Path, name: str) -> None:
    run(tmp_path, "cp", "-rL", str(exports), "copy")
    (tmp_path / "to").symlink_to("copy")
    (tmp_path / "into").symlink_to("copy/seen_starts.npy")
    (tmp_path / "copy/user_embeddings.npy").rename(tmp_path / "cache")
    (tmp_path / "copy/user_embeddings.npy").symlink_to("../cache")
    done = ask(tmp_path / "copy", "recommend-all", "--out", str(tmp_path / name), check=False)
    assert done.returncode == 1
    assert "expected a file outside of " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    with pytest.raises(towerline.ServingError, match="expected a file outside of "):
        write_recommendations(towerline.open(tmp_path / "copy"), tmp_path / name, 5, None, True, lambda users: None)
