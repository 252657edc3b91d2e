"""``compile``: models of every kind, options, errors, artefacts."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import snnc

from conftest import DIGITS, FLOAT, QUANTISED, model


@pytest.mark.parametrize("name", QUANTISED)
def test_every_quantised_model_is_proved_on_reference(name: str) -> None:
    artefact = snnc.compile(model(name), target="reference")
    assert artefact.target == "reference"
    assert artefact.certificate["verdict"] == "proved"
    assert artefact.manifest["certificate"]["proved"] == len(artefact.certificate["populations"])


@pytest.mark.parametrize("target", ["loihi", "akida1", "akida2", "spleat", "nir", "reference"])
def test_every_target(target: str) -> None:
    artefact = snnc.compile(model("digits_cnn_w4a4_qcdq"), target=target)
    assert artefact.target == target and artefact.manifest["entry"] in artefact.files
    assert {"manifest.yaml", "certificate.json", "source.snn"} <= set(artefact.files)


def test_several_targets_are_a_dict() -> None:
    made = snnc.compile(model("digits_cnn_w4a4_qcdq"), target=["spleat", "reference"])
    assert sorted(made) == ["reference", "spleat"]
    assert made["spleat"].target == "spleat"


def test_a_model_may_be_bytes_or_a_proto() -> None:
    onnx = pytest.importorskip("onnx")
    path = model("digits_mlp_w4a4_qcdq")
    by_bytes = snnc.compile(path.read_bytes(), target="reference").files
    by_proto = snnc.compile(onnx.load(path), target="reference").files
    assert by_bytes["network.snn"] == by_proto["network.snn"]
    # A network without a name of its own has that of its file.
    by_path = snnc.compile(path, target="spleat").files
    again = snnc.compile(path.read_bytes(), target="spleat").files
    memories = [name for name in by_path if name.endswith((".mem", ".hex", ".bin"))]
    assert memories and all(by_path[name] == again[name] for name in memories)


def test_a_model_may_be_a_nir_graph(tmp_path: Path) -> None:
    nir = pytest.importorskip("nir")
    graph = nir.NIRGraph.from_list(
        nir.Affine(np.eye(2, dtype=np.float32), np.zeros(2, np.float32)),
        nir.LIF(
            tau=np.full(2, 0.01, np.float32),
            r=np.ones(2, np.float32),
            v_leak=np.zeros(2, np.float32),
            v_threshold=np.ones(2, np.float32),
        ),
    )
    artefact = snnc.compile(graph, target="nir")
    assert "network.nir" in artefact.files


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(snnc.UsageError) as caught:
        snnc.compile(3.5, target="reference")
    assert "float" in caught.value.problems[0].reason


def test_a_float_model_takes_arrays_for_its_calibration(training: np.ndarray) -> None:
    by_array = snnc.compile(model(FLOAT), target="reference", calibration=training[:200], payload_bits=6)
    path = DIGITS / "digits-train-1437.npz"
    by_file = snnc.compile(model(FLOAT), target="reference", calibration=path, payload_bits=6)
    assert by_array.manifest["options"]["quantise.payload-bits"] == "6"
    assert by_array.files["network.snn"] != by_file.files["network.snn"]
    whole = snnc.compile(model(FLOAT), target="reference", calibration=training, payload_bits=6)
    assert whole.files["network.snn"] == by_file.files["network.snn"]


def test_data_gives_an_evaluation(digits: tuple[np.ndarray, np.ndarray]) -> None:
    artefact = snnc.compile(model("digits_cnn_w4a4_qcdq"), target="spleat", data=digits)
    assert artefact.evaluation is not None
    assert artefact.evaluation.top1 > 95 and artefact.evaluation.mismatches_vs_reference == 0


def test_an_unknown_argument_is_told_what_it_may_have_been() -> None:
    with pytest.raises(snnc.UsageError) as caught:
        snnc.compile(model(FLOAT), target="reference", payload_bit=4, calibratoin=None)
    problems = caught.value.problems
    assert [p.place for p in problems] == ["payload_bit", "calibratoin"]
    assert "did you mean `payload_bits`?" in problems[0].remedy
    assert "did you mean `calibration`?" in problems[1].remedy


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"timesteps": "many"}, "--timesteps"),
        ({"coding": "morse"}, "--coding"),
        ({"granularity": "sample"}, "--granularity"),
        ({"force": "yes"}, "force"),
        ({"timesteps": object()}, "timesteps"),
        ({"set": {"depth": 3}}, "--set"),
        ({"device": "none"}, "--device"),
    ],
)
def test_wrong_values_are_usage_errors_with_their_place(options: dict[str, object], place: str) -> None:
    with pytest.raises(snnc.UsageError) as caught:
        snnc.compile(model(FLOAT), target="akida1", **options)
    assert caught.value.problems[0].place == place, caught.value.problems
    assert caught.value.problems[0].remedy


def test_errors_are_of_the_class_of_their_exit_code(tmp_path: Path) -> None:
    with pytest.raises(snnc.InputError) as missing:
        snnc.compile(tmp_path / "none.onnx", target="reference")
    assert missing.value.exit_code == 4 and "does not exist" in missing.value.problems[0].reason
    with pytest.raises(snnc.UnsupportedError) as refused:
        snnc.compile(model(FLOAT), target="reference")
    assert refused.value.exit_code == 3 and refused.value.problems
    assert isinstance(refused.value, snnc.Error)
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(model(FLOAT).read_bytes()[:1000])
    with pytest.raises(snnc.InputError):
        snnc.compile(damaged, target="reference")


def test_errors_can_be_pickled() -> None:
    with pytest.raises(snnc.UsageError) as caught:
        snnc.compile(model(FLOAT), target="tpu")
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is snnc.UsageError and again.problems == caught.value.problems


def test_what_could_be_delivered_is_in_the_error() -> None:
    with pytest.raises(snnc.Error) as caught:
        snnc.compile(model("digits_cnn_w8a8_qdq"), target=["akida1", "reference"])
    assert list(caught.value.artefacts) == ["reference"]
    assert caught.value.artefacts["reference"].certificate["verdict"] == "proved"


def test_an_output_folder_keeps_the_artefact(tmp_path: Path) -> None:
    artefact = snnc.compile(model("digits_mlp_w4a4_qcdq"), target="reference", output=tmp_path)
    assert artefact.path == tmp_path / "reference"
    del artefact
    assert (tmp_path / "reference" / "manifest.yaml").is_file()


def test_a_temporary_artefact_goes_with_its_object() -> None:
    artefact = snnc.compile(model("digits_mlp_w4a4_qcdq"), target="reference")
    folder = artefact.path
    assert folder.is_dir()
    del artefact
    assert not folder.exists() and not folder.parent.exists()


def test_save_copies_whole_and_replaces_only_artefacts(tmp_path: Path, artefact: snnc.Artefact) -> None:
    saved = artefact.save(tmp_path / "deep" / "kept")
    assert snnc.load(saved).files == artefact.files
    other = snnc.compile(model("digits_mlp_w4a4_qcdq"), target="reference")
    other.save(saved)
    assert snnc.load(saved).files == other.files
    assert [path.name for path in saved.parent.iterdir()] == ["kept"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(snnc.UsageError):
        artefact.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def test_the_number_of_threads_changes_no_byte() -> None:
    one = snnc.compile(model("digits_cnn_w4a4_qcdq"), target="spleat", jobs=1)
    all_ = snnc.compile(model("digits_cnn_w4a4_qcdq"), target="spleat")
    assert one.files == all_.files


def test_to_nir_is_what_nir_reads(artefact: snnc.Artefact) -> None:
    nir = pytest.importorskip("nir")
    graph = artefact.to_nir()
    assert isinstance(graph, nir.NIRGraph) and len(graph.nodes) > 3
    direct = snnc.compile(model("digits_cnn_w4a4_qcdq"), target="nir").to_nir()
    assert set(direct.nodes) == set(graph.nodes)


def test_verify_holds_the_artefact_against_its_model(artefact: snnc.Artefact) -> None:
    assert artefact.verify(model("digits_cnn_w4a4_qcdq"))["verdict"] == "proved"
    with pytest.raises(snnc.CheckFailed) as caught:
        artefact.verify(model("digits_cnn_w2a2_qcdq"))
    assert caught.value.problems


def test_verify_with_data_and_loose_verdicts(digits: tuple[np.ndarray, np.ndarray]) -> None:
    loihi = snnc.compile(model("digits_cnn_w4a4_qcdq"), target="loihi")
    path = model("digits_cnn_w4a4_qcdq")
    with pytest.raises(snnc.CheckFailed):
        loihi.verify(path, digits)
    assert loihi.verify(path, digits, allow_approximate=True)["verdict"] == "approximate"


def test_inspect_says_what_is_in_a_model_and_what_targets_make_of_it() -> None:
    found = snnc.inspect(model("digits_cnn_w4a4_qcdq"))
    assert found["name"] == "digits_cnn_w4a4_qcdq" and found["inputs"][0]["shape"] == [1, 1, 8, 8]
    assert snnc.inspect(snnc.compile(model("digits_mlp_w4a4_qcdq"), target="spleat"))


def test_ctrl_c_ends_a_compilation_and_leaves_nothing(tmp_path: Path) -> None:
    code = f"""
import os, signal, threading, time, snnc
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    while True:
        snnc.explore({str(model(FLOAT))!r}, {str(DIGITS / "digits-train-1437.npz")!r}, output={str(tmp_path / "out")!r})
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    word, seconds = done.stdout.split()
    assert word == "interrupted" and float(seconds) < 4, done.stdout + done.stderr
    assert done.returncode == 0 and not (tmp_path / "out").exists()


def test_progress_is_told_and_an_error_in_it_ends_the_work(training: np.ndarray) -> None:
    seen: list[tuple[str, int, int]] = []
    data = np.concatenate([training] * 4)
    snnc.calibrate(model(FLOAT), data, progress=lambda *state: seen.append(state))
    assert seen and seen[-1][2] == len(data)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        snnc.calibrate(model(FLOAT), data, progress=fails)


def test_the_lock_of_the_interpreter_is_released(training: np.ndarray) -> None:
    import threading
    import time

    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.002)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.monotonic()
    snnc.calibrate(model(FLOAT), np.concatenate([training] * 4))
    seconds = time.monotonic() - start
    stop.set()
    thread.join()
    assert len(ticks) > 20 * seconds


def test_after_a_fork_the_child_has_threads_of_its_own() -> None:
    code = f"""
import os, snnc
snnc.compile({str(model("digits_mlp_w4a4_qcdq"))!r}, target="reference")
child = os.fork()
if child == 0:
    snnc.compile({str(model("digits_mlp_w4a4_qcdq"))!r}, target="reference")
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "7", done.stderr
