"""The obligations as SMT-LIB: z3 and cvc5 find all of them unsat, and falsified ones sat, with a witness."""

import json
import re
import subprocess

import numpy as np
import onnx
import pytest
from conftest import binary
from onnx import TensorProto, helper, numpy_helper

cvc5 = pytest.importorskip("cvc5")
z3 = pytest.importorskip("z3")

# Every neuron model and target that has obligations: graded, thresholds, lookup, integrate-and-fire (one timestep,
# few-spikes, rate-sync, settled) and Akida's two.
SUBJECTS = [("digits_cnn_w2a2_qcdq", "reference", c) for c in ("graded", "few-spikes", "rate-sync", "multi-level", "signed-rate", "sigma-delta")]
SUBJECTS += [("digits_cnn_w2a2_qcdq", "spleat", c) for c in ("multi-level", "few-spikes", "rate-sync")]
SUBJECTS += [("digits_cnn_w2a2_qcdq", t, "graded") for t in ("nir", "akida1", "akida2")]
SUBJECTS += [("digits_mlp_w4a4_qcdq", "reference", c) for c in ("graded", "few-spikes", "rate-sync", "multi-level")]
SUBJECTS += [("halves", "reference", c) for c in ("graded", "few-spikes", "rate-sync")]


def obligations(artefacts, folder, name, target, code, channels=1):
    artefact = artefacts(name, target, code, path=halves(folder) if name == "halves" else None)
    out = folder / f"{name}-{target}-{code}-{channels}"
    if not out.exists():
        command = [binary(), "certify", artefact, "--smt", out, "--channels", str(channels), "-q"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    index = json.loads((out / "index.json").read_text())
    return index, {f["file"]: (out / f["file"]).read_text() for f in index["files"]}


def halves(folder):
    """A network whose accumulators fall on halves, so that ties to even leave no straight line of thresholds."""
    path = folder / "halves.onnx"
    if path.exists():
        return path
    rng, names = np.random.default_rng(4), {}

    def constant(name, value):
        names[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def scale(name, value, zero):
        return [constant(f"{name}_s", np.float32(value)), constant(f"{name}_z", zero)]

    nodes, at = [], "x"
    for i, (s, out) in enumerate([(1.0, 6), (4.0, 5)]):
        q = scale(f"a{i}", s, np.uint8(0))
        nodes += [helper.make_node("QuantizeLinear", [at, *q], [f"q{i}"], f"quantise{i}"),
                  helper.make_node("Clip", [f"q{i}", constant(f"l{i}", np.uint8(0)), constant(f"h{i}", np.uint8(15))], [f"c{i}"], f"clip{i}"),
                  helper.make_node("DequantizeLinear", [f"c{i}", *q], [f"d{i}"], f"dequantise{i}")]
        w = constant(f"w{i}", rng.integers(-3, 5, (out, 6)).astype(np.int8))
        nodes += [helper.make_node("DequantizeLinear", [w, *scale(f"w{i}", 1.0, np.int8(0))], [f"r{i}"], f"weights{i}"),
                  helper.make_node("Gemm", [f"d{i}", f"r{i}"], [f"y{i}"], f"fc{i}", transB=1)]
        at = f"y{i}"
        if i == 0:
            nodes.append(helper.make_node("Relu", [at], ["relu"], "relu"))
            at = "relu"
    value = lambda n, d: helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, d])
    graph = helper.make_graph(nodes, "halves", [value("x", 6)], [value("y1", 5)], list(names.values()))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("smt")


def by_z3(script):
    solver = z3.Solver()
    solver.set("timeout", 60_000)
    solver.from_string(script.replace("(check-sat)", ""))
    answer = str(solver.check())
    found = {}
    if answer == "sat":
        names, of = re.findall(r"declare-const (\S+)", script), solver.model()
        found = {n: z3.simplify(of.eval(z3.Int(n), model_completion=True)).as_long() for n in names}
    return answer, found


def by_cvc5(script):
    manager = cvc5.TermManager()
    solver = cvc5.Solver(manager)
    solver.setOption("produce-models", "true")
    solver.setOption("tlimit", "60000")
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, script, "obligation")
    symbols, answer = parser.getSymbolManager(), ""
    while not (command := parser.nextCommand()).isNull():
        answer += command.invoke(solver, symbols)
    answer = answer.strip()
    found = {}
    if answer == "sat":
        found = {str(t): solver.getValue(t).getIntegerValue() for t in symbols.getDeclaredTerms()}
    return answer, found


SOLVERS = [by_z3, by_cvc5]


@pytest.mark.parametrize("name,target,code", SUBJECTS)
def test_obligations_are_unsat(artefacts, folder, name, target, code):
    index, scripts = obligations(artefacts, folder, name, target, code)
    stated = json.loads((artefacts(name, target, code) / "certificate.json").read_text())["populations"]
    proved = {p["population"] for p in stated if p["verdict"] == "proved"}
    kinds = {(f["population"], f["kind"]) for f in index["files"]}
    if code in ("few-spikes", "rate-sync", "multi-level"):
        assert any(k == "coding" for _, k in kinds)
    assert any(k == "rule" for _, k in kinds)
    for f in index["files"]:
        if f["population"] not in proved:
            continue
        for solver in SOLVERS:
            assert solver(scripts[f["file"]])[0] == "unsat", (solver.__name__, f)


def test_every_neuron_and_target_has_obligations(artefacts, folder):
    seen, targets = set(), set()
    for name, target, code in SUBJECTS:
        index, _ = obligations(artefacts, folder, name, target, code)
        seen |= {f["neuron"] for f in index["files"]}
        targets.add(index["target"])
    assert {"graded", "thresholds", "integrate-and-fire", "akida-two"} <= seen, seen
    assert targets == {"reference", "spleat", "nir", "akida1", "akida2"}


def value(term, names):
    """An SMT-LIB term over integers, evaluated by Python: the witness is looked at by neither solver."""
    tokens = re.findall(r"[()]|[^\s()]+", term)

    def parse(i):
        if tokens[i] != "(":
            return tokens[i], i + 1
        out, i = [], i + 1
        while tokens[i] != ")":
            item, i = parse(i)
            out.append(item)
        return out, i + 1

    def run(t, env):
        if isinstance(t, str):
            return env[t] if t in env else int(t)
        head, *rest = t
        if head == "let":
            return run(rest[1], env | {n: run(v, env) for n, v in rest[0]})
        if head == "ite":
            return run(rest[1] if run(rest[0], env) else rest[2], env)
        a = [run(r, env) for r in rest]
        if head == "-":
            return -a[0] if len(a) == 1 else a[0] - sum(a[1:])
        return {"+": lambda: sum(a), "*": lambda: int(np.prod(np.array(a, object))), "div": lambda: a[0] // a[1], "=": lambda: a[0] == a[1],
                "<": lambda: a[0] < a[1], "<=": lambda: a[0] <= a[1], ">": lambda: a[0] > a[1], ">=": lambda: a[0] >= a[1],
                "and": lambda: all(a), "or": lambda: any(a), "not": lambda: not a[0]}[head]()

    return run(parse(0)[0], names)


def test_falsified_obligations_are_sat_with_a_witness(artefacts, folder):
    """One number of the emitted neuron is changed; both solvers find an accumulator, and it is one."""
    rng, done = np.random.default_rng(2), 0
    for round_ in range(400):
        name, target, code = SUBJECTS[int(rng.integers(len(SUBJECTS)))]
        index, scripts = obligations(artefacts, folder, name, target, code)
        files = [f for f in index["files"] if f["kind"] != "width"]
        script = scripts[files[int(rng.integers(len(files)))]["file"]]
        lines = script.splitlines()
        after = next(i for i, l in enumerate(lines) if l.startswith("(define-fun potential"))
        places = [(i, m) for i in range(after, len(lines)) for m in re.finditer(r"(?<![\w.])\d+(?![\w.])", lines[i]) if lines[i].startswith("(define-fun")]
        i, m = places[int(rng.integers(len(places)))]
        changed = int(m.group()) + max(int(m.group()) // 16, 1)
        lines[i] = lines[i][:m.start()] + str(changed) + lines[i][m.end():]
        false = "\n".join(l for l in lines if "set-info" not in l) + "\n"
        answers = [solver(false) for solver in SOLVERS]
        assert answers[0][0] == answers[1][0] and answers[0][0] in ("sat", "unsat"), (answers, false)
        if answers[0][0] == "unsat":
            continue  # the number does not matter on what can occur: both agree on that
        for _, found in answers:
            env = dict(found)
            for line in lines:
                if define := re.match(r"\(define-fun (\S+) \(\) Int (.*)\)$", line):
                    env[define.group(1)] = value(define.group(2), env)
                elif line.startswith("(assert"):
                    assert value(line[len("(assert "):-1], env), (line, found)
            assert env["reference"] != env["emitted"]
        done += 1
        if done == 30:
            return
    pytest.fail(f"only {done} falsified obligations in 400 rounds")
