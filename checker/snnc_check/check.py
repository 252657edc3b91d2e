"""Holds every statement of a certificate against what the model and the target's files say themselves."""

import hashlib
import json
import pathlib

import numpy as np

from . import rounded, wire
from .common import CHECKED, MALFORMED, OPEN, WRONG, NotCheckable, Refused, State, Wrong, windows
from .emitted import Frame, Simulation, linear, window_of
from .folder import Folder
from .inputs import Inputs
from .layout import Layout
from .listed import Listed
from .model import Model
from .readout import Readout
from .stairs import Stairs


class Checker(Inputs, Layout, Stairs, Readout, Listed):
    def __init__(self, artefact, model):
        folder = Folder(artefact)
        try:
            self.certificate = json.loads(folder.text("certificate.json"))
            self.claims = {p["population"]: p for p in self.certificate["populations"]}
            hints = {n: set(h["nodes"]) for n, h in self.certificate.get("hints", {}).items()}
        except MALFORMED as e:
            raise Refused(f"certificate.json: {type(e).__name__}: {e}") from e
        self.sums(folder, model)
        if self.certificate.get("reference") != "ort" or self.certificate.get("rule", "ort-f32") != "ort-f32":
            raise Refused(f"this checker knows the rule `ort-f32`, not `{self.certificate.get('rule')}`")
        self.network, self.model = folder.network(self.claims), Model(model)
        try:
            self.host = wire.read(folder.bytes("host.snn")) if (folder.path / "host.snn").exists() else None
        except MALFORMED as e:
            raise Refused(f"host.snn: {type(e).__name__}: {e}") from e
        self.rest = folder.remainders(self.host)
        self.timing = self.network["timing"]
        if not (isinstance(self.timing.get("timesteps"), int) and self.timing["timesteps"] >= 1):
            raise Refused("a network of no timesteps")
        self.states, self.answers, self.matched, self.sent = [], {}, {}, {}
        self.by_name = {n: p for p in self.model.populations for n in (*p.nodes, p.name)}
        for name, nodes in hints.items():  # where to look; what is found there is compared as anything else
            found = [p for p in self.model.populations if nodes & set(p.nodes)]
            self.by_name |= {name: found[0]} if len(found) == 1 else {}
        own = [n["name"] for n in self.network["nodes"] if n["op"] in ("encoder", "population", "unread")]
        self.inner = set(own) - set(self.claims)
        if missing := set(self.claims) - set(own):
            raise Refused(f"the certificate speaks of `{min(missing)}`, which the network does not have")

    def sums(self, folder, model):
        """SHA-256 of the model and of every file."""
        c = self.certificate
        if c.get("format") != "snnc-certificate" or c.get("version") != 2:
            raise Refused("certificate.json is not of format `snnc-certificate`, version 2")
        stated = {f["path"]: f["sha256"] for f in c["files"]}
        for path, sum in stated.items():
            if hashlib.sha256(folder.bytes(path)).hexdigest() != sum:
                raise Refused(f"{path} is not the file that was certified: its SHA-256 is another")
        if hashlib.sha256(pathlib.Path(model).read_bytes()).hexdigest() != c["model"]["sha256"]:
            raise Refused("the model is not the one that was compiled: its SHA-256 is another")
        beside = {p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*") if p.is_file()}
        free = {"certificate.json", "manifest.yaml"}
        if extra := beside - set(stated) - free:
            raise Refused(f"{min(extra)} is not among the certified files")

    # The network, node by node

    def run(self):
        for node in self.network["nodes"]:
            sources = [self.states[s] for s, _ in node["operands"]]
            try:
                if any(delay for _, delay in node["operands"]):
                    raise NotCheckable("what reaches it comes timesteps later")
                state = getattr(self, "on_" + node["op"].replace("-", "_"), self.on_other)(node, sources)
            except NotCheckable as e:
                state = State(why=str(e))
                if node["name"] in self.claims and node["name"] not in self.answers:
                    self.answer(node["name"], OPEN, str(e))
                if node["op"] in ("population", "unread") and node["name"] in self.by_name:
                    state = self.assumed(node, self.by_name[node["name"]], state)
            except MALFORMED as e:
                raise Refused(f"`{node['name']}` is malformed: {type(e).__name__}: {e}") from e
            self.states.append(state)
        self.whole()
        return self.answers

    def answer(self, name, answer, why, **witness):
        self.answers[name] = {"population": name, "claim": self.claims[name]["verdict"], "answer": answer, "why": why, **witness}

    def whole(self):
        """What must hold of the certificate as a whole; executions show what no argument reached."""
        if any(a["answer"] == OPEN and a["claim"] == "proved" for a in self.answers.values()):
            seen = self.image("")
            if self.claims.get(seen.get("seen_at"), {}).get("verdict") == "proved":
                self.answer(seen["seen_at"], WRONG, "an execution shows another payload", witness=seen)
        order = ["proved", "differs", "approximate", "failed"]
        worst = max((c["verdict"] for c in self.claims.values()), key=order.index, default="failed")
        kept = worst == "approximate" or all(o["holds"] for o in self.certificate["obligations"])
        if self.certificate["verdict"] != (worst if kept else "failed"):
            raise Refused("the certificate's verdict is not the worst of its statements")
        found = {id(p) for p in self.matched.values()}
        for p in self.model.populations:
            if id(p) not in found and self.certificate["verdict"] == "proved":
                raise Refused(f"the certificate says nothing of `{p.name}`, which the model has")

    def on_other(self, node, sources):
        raise NotCheckable(node["parameters"].get("reason", f"a node `{node['op']}`") if node["parameters"] else node["op"])

    def on_projection(self, node, sources):
        (source,) = sources
        return source

    def pooled(self, node, ids):
        seen = windows(ids, *window_of(node["parameters"]), list(node["shape"][1:]))
        rows = seen.transpose(1, 0, 2).reshape(-1, seen.shape[2])
        known = self.model.space.size
        out = self.model.space.pool(rows).reshape(node["shape"])
        if self.model.space.size > known:
            self.model.low, self.model.high = self.model.space.ranges()
        return out

    def on_max_pool(self, node, sources):
        if self.network["nodes"][node["operands"][0][0]]["op"] == "projection":
            return sources[0]  # potentials: see on_population
        if sources[0].ids is None:
            raise NotCheckable(sources[0].why)
        if self.timing["timesteps"] > 1 and not sources[0].runs:
            raise NotCheckable("a maximum in each timestep is not the maximum of the frames")
        s = sources[0]
        return State(self.pooled(node, s.ids), s.times, s.constant, s.runs)

    def on_running_max_pool(self, node, sources):
        s = sources[0]
        if s.ids is None:
            raise NotCheckable(s.why)
        return State(self.pooled(node, s.ids), s.times, False, False)

    def on_concatenate(self, node, sources):
        if any(s.ids is None for s in sources):
            raise NotCheckable("a part of what is joined is unknown")
        if len({s.times for s in sources}) > 1:
            raise NotCheckable("parts that come differently often")
        ids = np.concatenate([s.ids for s in sources], node["parameters"]["axis"])
        return State(ids, sources[0].times, all(s.constant for s in sources), all(s.runs for s in sources))

    def assumed(self, node, reference, state):
        """Later populations are judged under the assumption that this one sends what it should."""
        shape, count = list(node["shape"]), len(reference.ids)
        total = int(np.prod(shape, initial=1))
        if total and total % count == 0:
            state.ids = np.resize(reference.ids, total).reshape(shape)
        return state

    # Populations

    def ports(self, node):
        """The synapses of each port in ids, gains and repetitions included; windows of pools on potentials."""
        out, pools, nodes = [], None, self.network["nodes"]
        for s, _ in node["operands"]:
            while nodes[s]["op"] == "max-pool":
                pools = nodes[s] if pools is None else self.refuse("two maxima behind each other")
                s = nodes[s]["operands"][0][0]
            if nodes[s]["op"] != "projection":
                raise NotCheckable("what reaches it are no synapses")
            state = self.states[s]
            if state.ids is None:
                raise NotCheckable(f"its input is unknown: {state.why}")
            if state.encoder is not None and not isinstance(state.ids, np.ndarray):
                raise NotCheckable("its input has another meaning than the model's")
            plain = linear(nodes[s], state.ids)
            self.width(nodes[s], plain)
            gain = np.asarray(nodes[s]["parameters"].get("gain") or [1], np.int64)
            if len(gain) not in (1, plain.filters):
                raise Refused(f"`{nodes[s]['name']}`: {len(gain)} gains for {plain.filters} channels")
            out.append(plain.scaled(gain * state.times))
        return out, pools

    def refuse(self, why):
        raise NotCheckable(why)

    def width(self, node, plain):
        """Sums, finished or not, must fit the accumulator."""
        bits = node["parameters"]["accumulator"]["bits"]
        low, high = plain.bounds(np.minimum(self.model.low, 0), np.maximum(self.model.high, 0))
        if bits < 64 and (low.min() < -(1 << (bits - 1)) or high.max() >= 1 << (bits - 1)):
            worst = int(high.max() if high.max() >= 1 << (bits - 1) else low.min())
            raise Wrong(f"an accumulator of {bits} bits does not hold every sum", accumulator=worst)

    def on_population(self, node, sources):
        name, reference = node["name"], self.by_name.get(node["name"])
        if reference is None:
            return self.passing(node)
        state = State(None, 1, False, False)
        if name in self.claims:
            if id(reference) in {id(p) for p in self.matched.values()}:
                raise Refused(f"two populations stand for `{reference.name}`")
            self.matched[name] = reference
        self.sent[name] = self.assumed(node, reference, state)
        try:
            self.obligations(node["parameters"])
            why = self.population(node, reference, sources, state)
            self.judge(name, None, why)
        except Wrong as e:
            self.judge(name, e, None)
        return state

    def obligations(self, p):
        """What a coding of several timesteps asks of the schedule."""
        needs = {"few-spikes": "layer-synchronous", "rate-sync": "layer-synchronous", "signed-rate": "until-settled"}.get(p.get("coding"))
        found, many = self.timing["schedule"], self.timing["timesteps"] > 1
        changes = p.get("coding") == "sigma-delta" and "integrate-and-fire" in p["neuron"]
        if many and (needs and found != needs or changes and found == "streaming"):
            raise Wrong(f"`{p['coding']}` needs the schedule {needs or 'until-settled'}, not {found}")

    def judge(self, name, wrong, why):
        """From what was found to an answer to what is claimed."""
        claim = self.claims.get(name)
        if claim is None:
            return
        if claim["verdict"] == "proved":
            if wrong is not None:
                witness = {k: v for k, v in wrong.witness.items() if k not in ("rows", "units")}
                self.answer(name, WRONG, str(wrong), witness={**witness, **self.image(name)})
            else:
                self.answer(name, CHECKED, why)
        elif claim["verdict"] == "differs":
            self.differs(name, claim, wrong)
        elif any(n["name"] == name and (n["parameters"] or {}).get("lossy") for n in self.network["nodes"]):
            self.answer(name, CHECKED, why) if wrong is None else self.answer(name, WRONG, str(wrong), witness=wrong.witness)
        else:
            found = "no difference" if wrong is None else str(wrong)
            self.answer(name, OPEN, f"the certificate claims no equality ({claim['verdict']}); found: {found}")

    def population(self, node, reference, sources, state):
        if reference.kind == "input":
            return self.turned(node, reference, sources, state)
        if reference.kind in ("codes", "clipped scores"):
            raise NotCheckable("the model clips its scores")
        if node["parameters"].get("lossy"):
            return rounded.compare(self, node, reference, sources[0], state)
        (ports, pool), constant = self.ports(node), all(s.constant for s in sources)
        frame = Frame(node, self.timing, ports[0].filters, constant)
        shape = list((pool and self.network["nodes"][pool["operands"][0][0]] or node)["shape"])
        whole = None
        if reference.shape and len(ports) == 1 and ports[0].places > reference.operands[0].places:
            ports[0], whole = self.border(reference, ports[0], shape, node)
        if whole is not None:
            state.ids = whole if pool is None else self.pooled(pool, whole)
        elif pool is not None:
            if self.timing["timesteps"] > 1:
                raise NotCheckable("maxima of potentials over several timesteps")
            if int(np.prod(shape)) % len(reference.ids):
                raise Wrong("its windows have another geometry", shape=list(shape))
            state.ids = self.pooled(pool, np.resize(reference.ids, int(np.prod(shape))).reshape(shape))
        pairs, wrong = self.aligned(reference, ports)
        if reference.kind == "scores":
            if wrong:
                raise wrong
            return self.scores(node, reference, pairs, frame)
        self.last = (reference, pairs, frame)
        if wrong is None and frame.neuron == "accumulate":
            return self.hosted(node, reference, pairs)
        if wrong is not None:
            self.last = None
            raise wrong
        return self.compared(node, reference, pairs, frame, state)

    # Witnesses

    def image(self, name):
        """An input on which the two executions differ, where a few random ones show it."""
        try:
            rng, n, codes, payloads = np.random.default_rng(7), 24, {}, {}
            for node in self.network["nodes"]:
                if node["op"] != "encoder":
                    continue
                p = self.matched.get(node["name"]) or self.by_name[node["name"]]
                low, high = p.rule.out.levels
                x = rng.integers(low, high + 1, (n, len(p.ids)))
                x[0], x[1] = low, high
                x[n // 2:] = np.where(rng.random((n - n // 2, len(p.ids))) < 0.7, 0, x[n // 2:])
                codes[p.name] = payloads[node["name"]] = x
            totals = Simulation(self.network).run(payloads)
            values = self.model.run(codes)
        except (NotCheckable, Refused, *MALFORMED):
            return {}
        for i, node in enumerate(self.network["nodes"]):
            reference = self.matched.get(node["name"])
            if node["op"] != "population" or reference is None or node["name"] not in totals or reference.rule.out is None:
                continue
            ids = self.sent[node["name"]].ids if node["name"] in self.sent else None
            if not isinstance(ids, np.ndarray) or ids.size != totals[node["name"]].shape[1]:
                continue
            ids = ids.ravel()
            bad = (values[:, ids] != totals[node["name"]]) & self.model.known[ids]
            if bad.any():
                s, neuron = map(int, np.argwhere(bad)[0])
                image = {k: v[s].tolist() if v.shape[1] <= 4096 else f"sample {s} of seed 7" for k, v in payloads.items()}
                return {"image": image, "seen_at": node["name"], "neuron": neuron, "payloads": [int(values[s, ids[neuron]]), int(totals[node["name"]][s, neuron])]}
        return {}


def check(artefact, model):
    """The answers, one for each population of the certificate."""
    checker = Checker(artefact, model)
    return list(checker.run().values())
