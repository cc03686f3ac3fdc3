"""Law 2 on other processors: the environment of a stage, what TensorFlow must not compute, and emulation."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, commit_all, run
from tests.test_laws import NAMES, files_of, listed, sandbox
from tests.towerline.training.conftest import params, planted_parts
from towerline.metrics.ratings import rating_biases
from towerline.pipeline.environment import lacking, stage_of
from towerline.towers import tf
from towerline.towers.products import block_rows, blocked_product, inner_products, matmul, over_root, unit
from towerline.training import fitting
from towerline.training.batches import MIN_BATCH
from towerline.training.tasks import InBatchSoftmax

# Variables, set from outside, by which each library would use another instruction set or more threads.
OUTSIDE = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Sandybridge",
    "OPENBLAS_NUM_THREADS": "7",
    "OMP_NUM_THREADS": "3",
    "FAISS_SIMD_LEVEL": "NONE",
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "TENSORFLOW_USE_CUSTOM_CONTRACTION_KERNEL": "false",
}
# As arguments after `python -c`, these make the package treat the process as a stage.
AS_A_STAGE = ["-m", "stages.train"]


def stage_outputs(project: Path, stage: str, into: Path, *before: str, **environment: str) -> dict[str, bytes]:
    """The files that a stage writes over its inputs from the small project, run by itself.

    Args:
      project: where its inputs are.
      stage: its name.
      into: an empty folder.
      before: words before the command of the stage.
      environment: variables that are set from outside.
    """
    folder = sandbox(project, stage, into)
    inputs = files_of(folder)
    command = [*before, sys.executable, "-m", f"stages.{stage}"]
    run(folder, *command, check=True, PYTHONDONTWRITEBYTECODE="1", **environment)
    return {name: content for name, content in files_of(folder).items() if name not in inputs}


@pytest.mark.parametrize("stage", ["train", "refit", "baselines", "evaluate", "transfer", "map", "report", "export"])
def test_libraries_held_to_other_levels_from_outside_change_nothing(
    stage: str, small_project: Path, tmp_path: Path
) -> None:
    written = stage_outputs(small_project, stage, tmp_path, **OUTSIDE)
    assert written
    assert [name for name, content in written.items() if content != (small_project / name).read_bytes()] == []


def test_in_a_stage_every_library_runs_code_for_avx2() -> None:
    code = """
import json, stages, faiss, numpy as np, numpy.lib.introspect, scipy.linalg
from towerline.towers import tf
from threadpoolctl import threadpool_info
print(json.dumps({
    "numpy": np.lib.introspect.opt_func_info(func_name="^exp$", signature="float32")["exp"]["ff"]["current"],
    "blas": [one["architecture"] for one in threadpool_info() if one["user_api"] == "blas"],
    "threads": [one["num_threads"] for one in threadpool_info() if one.get("threading_layer") == "pthreads"],
    "faiss": faiss.SIMDConfig.get_level_name(),
}))
"""
    levels = json.loads(run(ROOT, sys.executable, "-c", code, *AS_A_STAGE, check=True, **OUTSIDE).stdout)
    assert levels["numpy"] == "X86_V3"
    assert levels["faiss"] == "AVX2"
    # NumPy's, SciPy's and faiss' own; the threads of the last are OpenMP's.
    assert levels["blas"] == ["Haswell"] * 3
    assert levels["threads"] == [1, 1]


def test_other_programs_keep_their_environment() -> None:
    code = "import os; before = dict(os.environ); import stages; print(dict(os.environ) == before)"
    assert run(ROOT, sys.executable, "-c", code, "-m", "towerline", check=True, **OUTSIDE).stdout == "True\n"
    assert run(ROOT, sys.executable, "-c", code, *AS_A_STAGE, check=True, **OUTSIDE).stdout == "False\n"


def test_a_stage_is_known_by_its_command_line() -> None:
    assert stage_of(["python", "-m", "stages.train"]) == "train"
    assert stage_of(["python", "-X", "dev", "-m", "cProfile", "-m", "stages.export"]) == "export"
    assert stage_of(["python", "-m", "towerline", "recommend", "stages.train"]) is None
    assert stage_of(["python", "-m", "pytest", "-k", "stages.train"]) is None
    assert stage_of(["python"]) is None


def test_a_processor_without_avx2_is_told_in_one_line() -> None:
    enough = "processor: 0\nflags\t\t: fpu avx avx2 bmi1 bmi2 f16c fma movbe abm\n"
    assert lacking(enough) == []
    assert lacking(enough.replace("avx2 ", "").replace(" movbe", "")) == ["avx2", "movbe"]
    assert lacking("") == []
    code = "import pathlib; pathlib.Path.read_text = lambda *_, **__: 'flags : sse2 avx'; import stages"
    done = run(ROOT, sys.executable, "-c", code, *AS_A_STAGE, check=False)
    expected = "train: processor: expected x86-64-v3 (AVX2 and FMA), found one without avx2, bmi1, bmi2, f16c, fma"
    assert (done.returncode, done.stderr) == (1, f"{expected}, movbe, abm\n")
    assert run(ROOT, sys.executable, "-c", code, check=False).returncode == 0, "no stage, no need"


# Products sum in blocks by the sizes of caches; the others start from approximations that differ between makers.
BY_PROCESSOR = {"MatMul", "BatchMatMul", "BatchMatMulV2", "Einsum", "_FusedMatMul", "Reciprocal", "Rsqrt", "RsqrtGrad"}


@pytest.mark.parametrize("loss", ["grouped_softmax", "in_batch_softmax"])
def test_tensorflow_computes_nothing_that_follows_the_processor(loss: str) -> None:
    from tensorflow.python.eager import context  # towerline.towers has set up TensorFlow

    train, _ = planted_parts()
    training = fitting.Training(params(loss=loss, rating_weight=0.5), train, rating_biases(train, 5.0))
    context.enable_run_metadata()
    training.steps.step(next(training.batches.epoch(training.steps.random)))
    # As they run: TensorFlow rewrites x / sqrt(y) and 1 / x when it optimises a graph.
    graphs = [function.post_optimization_graph for function in context.export_run_metadata().function_graphs]
    context.disable_run_metadata()
    nodes = [graph.node for graph in graphs] + [
        definition.node_def for graph in graphs for definition in graph.library.function
    ]
    ops = {node.op for of_graph in nodes for node in of_graph}
    assert {"PyFuncStateless", "ResourceSparseApplyAdagradV2", "Sqrt"} < ops
    assert ops & BY_PROCESSOR == set()


def test_square_root_and_division_are_rounded_correctly() -> None:
    number = np.random.default_rng(0).uniform(1e-6, 10, 100_003).astype(np.float32)
    exact = number.astype(np.float64)
    np.testing.assert_array_equal(tf.sqrt(number), np.sqrt(exact).astype(np.float32))
    np.testing.assert_array_equal(np.float32(2) / tf.constant(number), (2 / exact).astype(np.float32))
    expected = (np.float32(2) / np.sqrt(exact).astype(np.float32)).astype(np.float32)
    np.testing.assert_array_equal(over_root(2.0, tf.constant(number)), expected)


def test_products_are_numpys_and_have_the_gradient_of_tensorflows() -> None:
    draw = np.random.default_rng(0)
    query, candidates, upstream = (
        tf.constant(draw.normal(size=size), tf.float32) for size in ((7, 300), (11, 300), (7, 11))
    )
    np.testing.assert_array_equal(matmul(query, candidates, transpose_right=True), query.numpy() @ candidates.numpy().T)
    np.testing.assert_array_equal(matmul(upstream, query, transpose_left=True), upstream.numpy().T @ query.numpy())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([query, candidates])
        mine = tf.reduce_sum(upstream * inner_products(query, candidates))
        theirs = tf.reduce_sum(upstream * tf.matmul(query, candidates, transpose_b=True))
    for of in (query, candidates):
        np.testing.assert_allclose(tape.gradient(mine, of), tape.gradient(theirs, of), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1000, 128, 4133), (1000, 4133, 128), (20_000, 100, 128)])
def test_products_in_blocks_are_those_of_numpy_for_every_number_of_threads(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    assert 0 < block_rows(inner, columns) < rows
    draw = np.random.default_rng(0)
    # The first factor is transposed, as in a gradient, so that its blocks are not contiguous.
    left = draw.standard_normal((inner, rows), np.float32).T
    right = draw.standard_normal((inner, columns), np.float32)
    product = blocked_product(left, right, 1)
    np.testing.assert_allclose(product, left.astype(np.float64) @ right, atol=1e-3)
    for threads in (2, 3):
        np.testing.assert_array_equal(blocked_product(left, right, threads), product)


def test_the_default_batch_is_computed_as_a_whole() -> None:
    assert block_rows(128, 4096) >= MIN_BATCH
    assert block_rows(MIN_BATCH, 128) >= 4096


def test_unit_vectors_are_tensorflows_to_the_last_digits_and_zeros_stay() -> None:
    vectors = tf.constant(np.vstack([np.random.default_rng(0).normal(size=(9, 33)), np.zeros((1, 33))]), tf.float32)
    upstream = tf.constant(np.random.default_rng(1).normal(size=(10, 33)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(vectors)
        mine, theirs = unit(vectors), tf.math.l2_normalize(vectors, axis=1)
        sums = [tf.reduce_sum(output * upstream) for output in (mine, theirs)]
    np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-7)
    assert not mine[9].numpy().any()
    gradient, expected = (tape.gradient(total, vectors) for total in sums)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_the_in_batch_loss_is_that_of_tensorflow_recommenders() -> None:
    import tensorflow_recommenders as tfrs  # which refuses to load before towerline.towers has set up TensorFlow

    draw = np.random.default_rng(0)
    query, candidates = (unit(tf.constant(draw.normal(size=(6, 5)), tf.float32)) for _ in range(2))
    item = tf.constant([1, 2, 1, 3, 4, 2])
    loss = tf.keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum_over_batch_size")
    theirs = tfrs.tasks.Retrieval(loss=loss, temperature=0.2, remove_accidental_hits=True)
    mine = InBatchSoftmax(0.2)(query, candidates, candidate_ids=item)
    assert float(mine) == pytest.approx(float(theirs(query, candidates, candidate_ids=item)), rel=1e-6)


def verified(project: Path) -> subprocess.CompletedProcess[str]:
    return run(project, sys.executable, str(ROOT / ".ci/verify"), check=False)


def test_verify_wants_the_committed_bytes_and_names_what_differs(small_project: Path, tmp_path: Path) -> None:
    for name in ("dvc.lock", "reports/metrics.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(small_project / name, tmp_path / name)
    commit_all(tmp_path)
    assert verified(tmp_path).stdout == "verify: dvc.lock and what git holds are the committed ones, byte for byte\n"
    lock, metrics = tmp_path / "dvc.lock", tmp_path / "reports/metrics.json"
    content: dict[str, Any] = json.loads(metrics.read_text())
    before = content["ease"]["recall@10"]
    content["ease"]["recall@10"] = 0.1234
    metrics.write_text(json.dumps(content))
    done = verified(tmp_path)
    line = f"reports/metrics.json: ease.recall@10: committed {before}, found 0.1234"
    assert (done.returncode, done.stderr) == (1, f"verify: expected the committed bytes, found others:\n  {line}\n")
    run(tmp_path, "git", "checkout", "-q", ".")
    text = lock.read_text()
    start = text.index("path: models/two_tower/model.json", text.index("outs:", text.index("\n  train:")))
    digest = text.index("md5: ", start) + len("md5: ")
    lock.write_text(text[:digest] + "0" * 32 + text[digest + 32 :])
    done = verified(tmp_path)
    assert (done.returncode, done.stderr.splitlines()[1:]) == (1, ["  train: models/two_tower/model.json"])


@pytest.mark.slow
@pytest.mark.parametrize("processor", ["Haswell", "EPYC", "Skylake-Client"])
def test_an_emulated_processor_gives_the_same_bytes(processor: str, small_project: Path, tmp_path: Path) -> None:
    """Every stage under QEMU: other makers and caches, no AVX-512, and exact values where processors approximate."""
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("qemu-x86_64 is not installed (package qemu-user)")
    version = run(ROOT, emulator, "--version").stdout.split()[2]
    if tuple(map(int, version.split(".")[:2])) < (7, 2):
        pytest.skip(f"QEMU {version} does not emulate AVX2, which came with 7.2")
    for stage in NAMES:
        assert listed(stage, "outs")
        written = stage_outputs(small_project, stage, tmp_path / stage, emulator, "-cpu", processor)
        assert written
        changed = [name for name, content in written.items() if content != (small_project / name).read_bytes()]
        assert changed == [], stage
