"""The command line: JSON, tables, exit codes, closed streams, Ctrl-C (law 10)."""

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import towerline
from tests.conftest import ENVIRONMENT, ROOT, STRANGE, run
from tests.towerline.serving.conftest import ask


def test_programs_get_one_json_object_a_question(exports: Path, recommender: towerline.Recommender) -> None:
    lines = ask(exports, "recommend", "u3", STRANGE["u7"], "--k", "3", "--type", "film", "--json").stdout.splitlines()
    for line, user in zip(lines, ("u3", STRANGE["u7"]), strict=True):
        expected = [row._asdict() for row in recommender.recommend(user, 3, item_type="film")]
        assert json.loads(line) == {"user_id": user, "answer": expected}
    history = [STRANGE["0000026"], "0000003"]
    words = ["book", history[0], "film", history[1]]
    answer = json.loads(ask(exports, "history", *words, "--k", "2", "--include-seen", "--json").stdout)
    items = [("book", history[0]), ("film", history[1])]
    assert answer["history"] == [list(item) for item in items]
    assert answer["answer"] == [
        row._asdict() for row in recommender.recommend_for_history(items, 2, exclude_seen=False)
    ]
    near = json.loads(ask(exports, "similar-items", "film", "0000003", "--k", "2", "--json").stdout)
    assert near["answer"] == [row._asdict() for row in recommender.similar_items("film", "0000003", 2)]
    alike = json.loads(ask(exports, "similar-users", "0042", "--k", "2", "--json").stdout)
    assert alike["answer"] == [row._asdict() for row in recommender.similar_users("0042", 2)]


def test_people_get_a_table_that_no_id_or_title_can_break(exports: Path, recommender: towerline.Recommender) -> None:
    printed = ask(exports, "similar-items", "book", "0000002", "--k", "60").stdout
    assert "\x1b" not in printed, "no colours where there is no terminal, none from a title"
    assert "Tabs\\tand \\x1b[31mcolours" in printed
    near = recommender.similar_items("book", "0000002", 60)
    lines = printed.splitlines()
    assert lines[0] == "type book, id 0000002"
    assert lines[1].split() == ["type", "id", "title", "cosine"]
    assert len(lines) == 2 + len(near)
    plain = {row.item_id: number for number, row in enumerate(near, start=2) if row.item_id.isdigit()}
    assert len(plain) > 10
    for item_id, number in plain.items():
        assert lines[number].split()[1] == item_id
        assert lines[number].endswith(f"{near[number - 2].cosine:.4f}")
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (30, 60))
    subprocess.run(
        [sys.executable, "-m", "towerline", "recommend", "u3", "--k", "5", "--exports", str(exports)],
        cwd=ROOT,
        env=ENVIRONMENT | {"TERM": "xterm"},
        stdout=follower,
        check=True,
    )
    os.close(follower)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert "\x1b[1m" in shown
    assert all(row.item_id[:20] in shown for row in recommender.recommend("u3", 5))


def test_exit_codes_tell_what_went_wrong(exports: Path, tmp_path: Path) -> None:
    for words, code, line in [
        (["recommend", "nobody at all"], 3, "towerline recommend: expected the id of a user in the export, found"),
        (
            ["similar-items", "film", "0"],
            3,
            "towerline similar-items: expected an item in the export, found 'film' '0'",
        ),
        (["recommend-all", "--out", str(tmp_path)], 1, "expected a regular file or a new name, found a folder"),
        (["history", "film"], 2, "towerline history: expected pairs of a type and an id, found 1 words"),
    ]:
        done = ask(exports, *words, check=False)
        assert done.returncode == code
        assert line in done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = ask(tmp_path, "recommend", "u3", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert ask(exports, "recommend", "u3", "--k", "0", check=False).returncode == 2
    for form in ("--json", ""):
        command = f"{sys.executable} -m towerline similar-users {' '.join(['u3'] * 2000)} {form} --exports {exports}"
        piped = run(ROOT, "bash", "-c", f"set -o pipefail; {command} | head -c 10", check=False)
        assert (piped.returncode, piped.stderr) == (141, "")


@pytest.mark.parametrize(
    ("command", "option"),
    [("release {exports}", "--to"), ("rollback", "--in"), ("recommend-all --exports {exports}", "--out")],
)
def test_a_variable_that_is_not_set_is_no_place_to_write_to(
    exports: Path, tmp_path: Path, command: str, option: str
) -> None:
    """The shell makes it an empty text, and an empty path is the current folder."""
    words = [*command.format(exports=exports).split(), option, ""]
    done = run(tmp_path, sys.executable, "-m", "towerline", *words, check=False, PYTHONPATH=str(ROOT))
    expected = f"{option}: expected a path, found ''; name one, or . for the current folder"
    assert (done.returncode, done.stderr) == (2, f"towerline {words[0]}: {expected}\n")
    assert not list(tmp_path.iterdir())


def test_a_closed_output_is_one_line(exports: Path) -> None:
    command = f"{sys.executable} -m towerline recommend u3 --exports {exports} >&-"
    done = run(ROOT, "bash", "-c", command, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("towerline recommend: expected an open standard output, found a closed one; ")
    assert len(done.stderr.splitlines()) == 1


def test_a_closed_standard_error_changes_no_answer(exports: Path, tmp_path: Path) -> None:
    def closed(words: str) -> tuple[int, str]:
        done = run(ROOT, "bash", "-c", f"{sys.executable} -m towerline {words} 2>&-", check=False)
        return done.returncode, done.stdout

    out, place = tmp_path / "all.parquet", tmp_path / "releases"
    code, printed = closed(f"recommend-all --k 2 --out {out} --exports {exports}")
    assert (code, printed, len(pq.read_table(out))) == (0, f"{out}: 120 rows for 60 users\n", 120)
    code, printed = closed(f"release {exports} --to {place}")
    assert (code, printed) == (0, f"{towerline.open(place).version} is live with 60 users and 60 items\n")
    assert closed(f"recommend nobody --exports {exports}") == (3, "")


# Sends Ctrl-C to a process that is about to import something heavy, in the place of that module.
INTERRUPT = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("module", "heavy", "line"),
    [("towerline", "numpy", "towerline: interrupted"), ("stages.train", "numpy", "train: interrupted")],
)
def test_ctrl_c_while_modules_are_imported_is_one_line(tmp_path: Path, module: str, heavy: str, line: str) -> None:
    (tmp_path / f"{heavy}.py").write_text(INTERRUPT)
    words = [] if module == "stages.train" else ["recommend", "u3"]
    done = run(ROOT, sys.executable, "-m", module, *words, check=False, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr.splitlines()) == (130, [line])


# Sends Ctrl-C to a process whose work is done, while Python ends it.
LATE = """
import atexit, os, runpy, signal, sys
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
sys.argv = ["-m", *sys.argv[1:]]
runpy.run_module("towerline", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_after_the_answer_changes_nothing(exports: Path) -> None:
    words = ["recommend", "u3", "--k", "1", "--json", "--exports", str(exports)]
    done = run(ROOT, sys.executable, "-c", LATE, *words, check=False)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)
