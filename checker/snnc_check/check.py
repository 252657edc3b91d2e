"""Holds every statement of a certificate against what the model and the target's files say themselves."""

import hashlib
import io
import json
import pathlib
import zipfile
import zlib

import numpy as np

from . import akida, loihi, nir, spleat, wire
from .common import MALFORMED, Linear, NotCheckable, Refused, Wrong, windows
from .emitted import Frame, Simulation, linear, window_of
from .model import WHOLE, Model
from .rule import F32, Quantiser

CHECKED, WRONG, OPEN = "confirmed", "refuted", "not checkable"
EXHAUSTIVE = 4_000_000  # accumulators of a population that are all tried, whatever its neuron
GRID = 60_000_000  # cells of a residual addition that are compared at most


class Folder:
    """The files of an artefact; what the certificate states the SHA-256 of must have it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def bytes(self, name):
        if "\\" in name or name.startswith("/") or ".." in name.split("/"):
            raise Refused(f"a file `{name}` outside the artefact")
        try:
            return (self.path / name).read_bytes()
        except OSError as e:
            raise Refused(f"{name} cannot be read: {e.strerror}") from e

    def text(self, name):
        try:
            return self.bytes(name).decode()
        except UnicodeDecodeError as e:
            raise Refused(f"{name} is no text") from e

    def arrays(self, name):
        try:
            with np.load(io.BytesIO(self.bytes(name)), allow_pickle=False) as archive:
                return {k: archive[k] for k in archive.files}
        except (ValueError, OSError, EOFError, NotImplementedError, zlib.error, zipfile.BadZipFile, SyntaxError) as e:
            raise Refused(f"{name} is no NPZ archive: {e}") from e

    def network(self, names):
        for name, read in (("network.snn", lambda: wire.read(self.bytes("network.snn"))), ("manifest.json", lambda: spleat.read(self)),
                           ("model.spec.json", lambda: akida.read(self)), ("network.nir", lambda: nir.read(self.bytes("network.nir"))),
                           ("network.net", lambda: loihi.read(self.bytes("network.net"), self.text("manifest.yaml"), names))):
            if (self.path / name).exists():
                try:
                    return read()
                except MALFORMED as e:
                    raise Refused(f"{name}: {type(e).__name__}: {e}") from e
        raise Refused(f"{self.path} holds no artefact")

    def remainders(self):
        """What `host.snn` adds first of all to a decoder's scores, by the decoder's name."""
        if not (self.path / "host.snn").exists():
            return {}
        try:
            nodes = wire.read(self.bytes("host.snn"))["nodes"]
        except MALFORMED as e:
            raise Refused(f"host.snn: {type(e).__name__}: {e}") from e
        found = {}
        for i, node in enumerate(nodes):
            users = [n for n in nodes if any(s == i for s, _ in n["operands"])]
            if node["op"] != "input" or len(users) != 1 or users[0]["op"] != "binary" or users[0]["parameters"] != "add":
                continue
            others = [nodes[s]["data"] for s, _ in users[0]["operands"] if s != i]
            if len(others) == 1 and others[0] is not None:
                found[node["name"]] = others[0].astype(np.float64).ravel()
        return found


def f32_at(key):
    """The f32 numbers in their order, by an integer."""
    key = np.asarray(key, np.int64)
    bits = np.where(key >= 0, key, (-key) | 0x80000000).astype(np.uint32)
    return bits.view(F32) if bits.ndim else np.frombuffer(bits.tobytes(), F32)


def breaks(function):
    """Keys of all f32 numbers at which an ascending function of f32 changes."""
    top = 0x7F7FFFFF
    low, high = int(function(f32_at([-top]))[0]), int(function(f32_at([top]))[0])
    if low > high:
        raise NotCheckable("an input whose codes fall as it grows")
    levels = np.arange(low + 1, high + 1)
    a, b = np.full(len(levels), -top), np.full(len(levels), top)
    while (b - a > 1).any():
        middle = (a + b) // 2
        up = function(f32_at(middle)) >= levels
        a, b = np.where(up, a, middle), np.where(up, middle, b)
    return b


class State:
    """What a node of the emitted network sends: whose payloads, and how they come in time."""

    def __init__(self, ids=None, times=1, constant=False, runs=True, why=None, encoder=None):
        self.ids, self.times, self.constant, self.runs, self.why, self.encoder = ids, times, constant, runs, why, encoder


class Checker:
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
        self.network, self.model, self.rest = folder.network(self.claims), Model(model), folder.remainders()
        self.timing = self.network["timing"]
        if not (isinstance(self.timing.get("timesteps"), int) and self.timing["timesteps"] >= 1):
            raise Refused("a network of no timesteps")
        self.states, self.answers, self.matched = [], {}, {}
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

    def on_encoder(self, node, sources):
        p, reference = node["parameters"], self.by_name.get(node["name"])
        times = self.timing["timesteps"] if p["presentation"] == "every-timestep" else 1
        own = Quantiser(p["scale"], p["zero_point"], p["minimum"], p["maximum"], p.get("rounding", "half-even"), p.get("offset"))
        constant = p["presentation"] == "every-timestep" or self.timing["timesteps"] == 1
        state = State(None, times, constant, p["presentation"] == "once", encoder=own)
        if p["presentation"] not in ("once", "every-timestep"):
            raise NotCheckable(f"an input that is presented `{p['presentation']}`")
        if reference is not None and reference.kind not in ("input", "codes"):
            raise Refused(f"`{node['name']}` is an input, but is said to stand for `{reference.name}`")
        if reference is None or len(reference.ids) != np.prod(node["shape"]):
            raise NotCheckable("it is no input of the model that this checker can read")
        q, claim = reference.rule.out, self.claims.get(node["name"])
        if own.levels != q.levels and reference.kind == "input":
            state.why = "its payloads are turned into the model's by the population behind it"
            state.ids = reference  # a neuron behind it decides
            return state
        try:
            if reference.kind == "codes":
                if (own.zero, own.low, own.high, own.scale) != (q.zero, q.low, q.high, q.scale):
                    raise Wrong("the input's codes are taken otherwise", code=own.low if own.zero == q.zero else 0)
            else:
                self.same_codes(reference, lambda x: own.code(x))
            self.answer(node["name"], CHECKED, "all f32 numbers get the same codes" if reference.kind == "input" else "codes are taken as they are")
        except Wrong as e:
            self.judge(node["name"], e, None)
        self.matched[node["name"]] = reference
        state.ids = reference.ids.reshape(node["shape"])
        return state

    def same_codes(self, reference, function):
        """Whether every f32 number becomes the same payload; both sides change at these numbers alone."""
        chain = reference.steps.value if reference.steps else (lambda x: x)
        with np.errstate(all="ignore"):
            wanted = lambda x: reference.rule.out.code(chain(x))
            keys = np.unique(np.concatenate([breaks(wanted), breaks(function)]))
            keys = np.unique(np.concatenate([keys, keys - 1]))
            x = f32_at(keys)
            a, b = wanted(x), function(x)
        if (a != b).any():
            i = int(np.argmax(a != b))
            raise Wrong("the input is encoded otherwise", input=float(x[i]), reference=int(a[i]), emitted=int(b[i]))

    def on_projection(self, node, sources):
        (source,) = sources
        return State(source.ids, source.times, source.constant, source.runs, source.why, source.encoder)

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
            raise NotCheckable("it stands for no population of the model")
        state = State(None, 1, False, False)
        if name in self.claims:
            if id(reference) in {id(p) for p in self.matched.values()}:
                raise Refused(f"two populations stand for `{reference.name}`")
            self.matched[name] = reference
        self.assumed(node, reference, state)
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
        elif wrong is not None and any(n["name"] == name and (n["parameters"] or {}).get("lossy") for n in self.network["nodes"]):
            self.answer(name, WRONG, str(wrong), witness=wrong.witness)
        else:
            found = "no difference" if wrong is None else str(wrong)
            self.answer(name, OPEN, f"the certificate claims no equality ({claim['verdict']}); found: {found}")

    def population(self, node, reference, sources, state):
        if reference.kind == "input":
            return self.turned(node, reference, sources, state)
        if reference.kind in ("codes", "clipped scores"):
            raise NotCheckable("the model clips its scores")
        (ports, pool), constant = self.ports(node), all(s.constant for s in sources)
        if node["parameters"].get("lossy"):
            return self.lossy(reference, ports)
        frame = Frame(node, self.timing, ports[0].filters, constant)
        if pool is not None:
            if self.timing["timesteps"] > 1:
                raise NotCheckable("maxima of potentials over several timesteps")
            shape = self.network["nodes"][pool["operands"][0][0]]["shape"]
            if int(np.prod(shape)) % len(reference.ids):
                raise Wrong("its windows have another geometry", shape=list(shape))
            state.ids = self.pooled(pool, np.resize(reference.ids, int(np.prod(shape))).reshape(shape))
        pairs, wrong = self.aligned(reference, ports)
        if reference.kind == "scores":
            if wrong:
                raise wrong
            return self.scores(node, reference, pairs, frame)
        self.last = (reference, pairs, frame)
        if wrong is not None:
            self.last = None
            raise wrong
        return self.compared(node, reference, pairs, frame, state)

    def lossy(self, reference, ports):
        """Weights that are rounded anew: the same synapses, none gained, none of the other sign."""
        (port,), operand = ports, reference.operands[0]
        if port.filters == operand.filters and len(reference.operands) == 1:
            a, b = operand.columns(), port.columns()
            if spare := set(b) - set(a):
                source = np.frombuffer(min(spare), np.int64)
                raise Wrong("it meets other sources than the model's", source=int(source[source >= 0][0]))
            for key, w in b.items():
                if ((w != 0) & (np.sign(w) != np.sign(a[key]))).any():
                    c = int(np.argmax((w != 0) & (np.sign(w) != np.sign(a[key]))))
                    raise Wrong("a weight has another sign than the model's", channel=c, weight=int(w[c]), reference=int(a[key][c]))
        raise NotCheckable("weights and neurons are another arithmetic's; the certificate claims no equality")

    def aligned(self, reference, ports):
        """For each operand: weights without common factor, that factor in both networks, and the bounds."""
        if len(ports) != len(reference.operands):
            raise NotCheckable(f"{len(ports)} projections for {len(reference.operands)} operands")
        pairs, wrong, left = [], None, list(range(len(ports)))
        for operand in reference.operands:
            best = None
            for i in left:
                found = self.pair(operand, ports[i])
                if not isinstance(found, Wrong):
                    best = i, found
                    break
                wrong = found
            if best is None:
                return pairs, wrong
            left.remove(best[0])
            pairs.append(best[1])
        return pairs, None

    def pair(self, a, b):
        """Operand `a` of the reference against projection `b`: tap by tap."""
        f = a.filters
        if b.filters % f:
            return Wrong(f"{b.filters} channels where the model has {f}")
        if a.groups == b.groups and np.array_equal(a.sources, b.sources) and b.filters == f:
            wa, wb, base = a.weights, b.weights, a
        else:
            ca, cb = a.columns(), b.columns()
            if set(ca) != set(cb):
                return self.taps(a, b)
            keys = sorted(ca)
            wa = np.stack([ca[k] for k in keys], 1) if keys else np.zeros((f, 0), np.int64)
            wb = np.stack([cb[k] for k in keys], 1) if keys else np.zeros((b.filters, 0), np.int64)
            sources = np.stack([np.frombuffer(k, np.int64) for k in keys], 1) if keys else np.zeros((a.places, 0), np.int64)
            base = Linear(sources[:, None, :], wa)
        divisor = np.gcd.reduce(wa, axis=1, initial=0)
        divisor = np.where(divisor == 0, 1, divisor)
        prime = wa // divisor[:, None]
        of = np.arange(b.filters) % f
        if prime.shape[1] == 0:
            factor = np.zeros(b.filters, np.int64)
        else:
            first = np.argmax(prime != 0, axis=1)[of]
            lead = prime[of, first]
            factor = np.where(lead != 0, wb[np.arange(b.filters), first] // np.where(lead == 0, 1, lead), 0)
        bad = (wb != prime[of] * factor[:, None]).any(1)
        if bad.any():
            e = int(np.argmax(bad))
            k = int(np.argmax(wb[e] != prime[of[e]] * factor[e]))
            per = base.filters // base.groups
            at = base.sources[:, (e % f) // per, k]
            return Wrong("its weights are not the model's times one constant for each channel", channel=e, tap=k,
                         source=int(at[at >= 0][0]), weight=int(wb[e, k]), reference=int(wa[e % f, k]), rows=(a, b, e))
        low, high = Linear(base.sources, prime, base.groups).bounds(self.model.low, self.model.high)
        return {"prime": Linear(base.sources, prime, base.groups), "reference": divisor, "emitted": factor, "of": of,
                "low": low, "high": high}

    def taps(self, a, b):
        """The first neuron that meets other sources."""
        if a.places != b.places:
            return Wrong(f"{b.places} places where the model has {a.places}")
        for p in range(a.places):
            for f in range(0, a.filters, max(a.filters // a.groups, 1)):
                x, y = a.synapses(f, p), b.synapses(f, p)
                if set(x) != set(y):
                    return Wrong("its windows have another geometry", channel=f, place=p,
                                 source=min(set(x) ^ set(y)), rows=(a, b, f))
        for f in range(b.filters):
            if set(a.synapses(f % a.filters, 0)) != set(b.synapses(f, 0)):
                return Wrong("it meets other sources", channel=f, place=0, rows=(a, b, f))
        raise NotCheckable("its synapses are laid out in a way that this checker does not compare")

    def compared(self, node, reference, pairs, frame, state):
        """Payloads of both sides on all accumulators that can occur."""
        bias, of = frame.bias(), pairs[0]["of"]
        rule = reference.rule.rows(of)
        state.runs = True
        own = [p["reference"][of][:, None] for p in pairs]
        start = [np.asarray(b)[of][:, None] for b in reference.bias]
        factor = [p["emitted"][:, None] for p in pairs]
        low, high = [p["low"][of] for p in pairs], [p["high"][of] for p in pairs]
        flip = rule.affine is not None and (rule.affine[0] < 0)

        def wanted(*u):
            return rule.payload(*[g * x + b for g, x, b in zip(own, u, start)])

        def tied(*u):
            return rule.tied(*[g * x + b for g, x, b in zip(own, u, start)])

        def potential(*u):
            return sum(g * x for g, x in zip(factor, u)) + bias[:, None]

        self.membrane(node, frame, factor, low, high, bias)
        if len(pairs) == 1:
            return self.staircases(wanted, tied, lambda u: frame.answers(potential(u)), low[0], high[0], flip, frame, state,
                                   rule.affine is not None, own[0], start[0])
        if len(pairs) == 2 and rule.affine is None:
            if self.claims.get(node["name"], {}).get("verdict") == "approximate":
                raise NotCheckable("a sum of two operands of which no equality is claimed")
            if rule.exact and rule.constants:
                raise NotCheckable("an exact sum with a bias that is no whole number of units")
            return self.grid(wanted, lambda *u: frame.answers(potential(*u)), low, high, state)
        raise NotCheckable(f"a sum of {len(pairs)} operands")

    def membrane(self, node, frame, factor, low, high, bias):
        """Potentials must fit their memory, where it is narrower than 64 bits."""
        bits = node["parameters"].get("membrane_bits", 64)
        if bits >= 64 or frame.schedule == "streaming" and frame.timesteps > 1:
            return
        ends = [np.minimum(g[:, 0] * l, g[:, 0] * h) for g, l, h in zip(factor, low, high)], [
            np.maximum(g[:, 0] * l, g[:, 0] * h) for g, l, h in zip(factor, low, high)]
        start = frame.spiking.initial()[:, 0] if frame.spiking else 0
        floor, top = sum(ends[0]) + np.minimum(bias, 0) + start, sum(ends[1]) + np.maximum(bias, 0) + start
        if floor.min() < -(1 << (bits - 1)) or top.max() >= 1 << (bits - 1):
            raise Wrong(f"a membrane potential of {bits} bits overflows", potential=int(top.max() if top.max() >= 1 << (bits - 1) else floor.min()))

    def difference(self, c, u, a, b, own, start):
        acc = int(own[c, 0] * u + start[c, 0])
        return Wrong("a payload differs", channel=int(c), accumulator=acc, reference=int(a), emitted=int(b), units=(int(c), int(u)))

    def staircases(self, wanted, tied, emitted, low, high, flip, frame, state, real, own, start):
        """One operand: both sides between the reference's thresholds; every accumulator where there are few."""
        count = int((high - low + 1).sum())
        self.count = count
        if np.any(flip):
            swap = np.asarray(flip)[:, None]
            up = lambda f: (lambda u: f(np.where(swap, -u, u)))
            w, t, e = up(wanted), up(tied), up(emitted)
            low, high = np.where(flip, -high, low), np.where(flip, -low, high)
        else:
            w, t, e = wanted, tied, emitted
        ends = np.stack([low, high], 1)
        level = w(ends)
        steps = np.arange(level.min() + 1, level.max() + 1)[None]
        a, b = np.broadcast_to(low[:, None] - 1, (len(low), steps.shape[1])), np.broadcast_to(high[:, None] + 1, (len(low), steps.shape[1]))
        while (b - a > 1).any():
            middle = (a + b) >> 1
            reached = w(middle) >= steps
            a, b = np.where((b - a > 1) & ~reached, middle, a), np.where((b - a > 1) & reached, middle, b)
        first = np.concatenate([low[:, None], b], 1)
        last = np.concatenate([b - 1, high[:, None]], 1)
        first, last = np.maximum(first, low[:, None]), np.minimum(last, high[:, None])
        levels = np.broadcast_to(np.arange(level.min(), level.max() + 1)[None], first.shape)
        used = first <= last
        ties = 0
        while True:
            used = first <= last
            (x, trains_x), (y, trains_y) = e(np.where(used, first, low[:, None])), e(np.where(used, last, low[:, None]))
            wrong_x, wrong_y = used & (x != levels), used & (y != levels)
            moved = 0
            # A decision that hangs on the order of f32 operations is a tie: either payload is right.
            for wrong, at, value, step in ((wrong_x, first, x, 1), (wrong_y, last, y, -1)):
                if real and wrong.any():
                    below, above = t(at)
                    free = wrong & (value >= below) & (value <= above)
                    at += free * step
                    moved += int(free.sum())
            ties += moved
            if not moved:
                break
        for wrong, at, value in ((wrong_x, first, x), (wrong_y, last, y)):
            if wrong.any():
                c, j = np.argwhere(wrong)[0]
                u = int(at[c, j]) * (-1 if np.any(flip) and np.asarray(flip)[c] else 1)
                raise self.difference(c, u, levels[c, j], value[c, j], own, start)
        low_, high_ = frame.node["minimum"], frame.node["maximum"]
        if frame.timesteps == 1 and (x.min() < low_ or x.max() > high_ or y.max() > high_ or y.min() < low_):
            raise Wrong(f"payloads beyond the range {low_}..{high_} that is carried", payload=int(max(x.max(), y.max())))
        if trains_x is not None:
            few = count * frame.timesteps <= EXHAUSTIVE
            if (used & (trains_x != trains_y).any(0)).any() and not few:
                raise NotCheckable("trains that differ between two thresholds of the reference")
            runs = lambda s: ((np.diff(s, axis=0) <= 0).all(0) & ((s == 0) | (s == 1)).all(0) | ~used).all()
            state.runs = bool(runs(trains_x) and runs(trains_y))
        if count * (frame.timesteps if trains_x is not None else 1) <= EXHAUSTIVE:
            self.every(w, t, e, low, high, real, own, start, flip)
        tie = f", {ties} ties" if ties else ""
        return f"{steps.shape[1]} thresholds, {count} accumulators{tie}"

    def every(self, wanted, tied, emitted, low, high, real, own, start, flip):
        """Every accumulator of every channel, one by one."""
        width = int((high - low).max()) + 1
        part = max(1, min(width, 500_000 // len(low)))
        for begin in range(0, width, part):
            u = np.minimum(low[:, None] + np.arange(begin, min(begin + part, width))[None], high[:, None])
            a, (b, _) = wanted(u), emitted(u)
            bad = a != b
            if real and bad.any():
                lo, hi = tied(u)
                bad &= (b < lo) | (b > hi)
            if bad.any():
                c, j = np.argwhere(bad)[0]
                sign = -1 if np.any(flip) and np.asarray(flip)[c] else 1
                raise self.difference(c, int(u[c, j]) * sign, a[c, j], b[c, j], own, start)

    def grid(self, wanted, emitted, low, high, state):
        """Two operands: for each value of the one with fewer, the thresholds in the other."""
        spans = [h - l for l, h in zip(low, high)]
        outer = 0 if spans[0].max() <= spans[1].max() else 1
        order = (lambda o, i: (o, i)) if outer == 0 else (lambda o, i: (i, o))
        lo, hi, c = low[1 - outer], high[1 - outer], len(low[0])
        every = int(spans[outer].max()) + 1
        levels = np.arange(int(wanted(*[l[:, None] for l in low]).min()), int(wanted(*[h[:, None] for h in high]).max()) + 1)
        if every * c * len(levels) > GRID:
            raise NotCheckable(f"a sum of two accumulators, {every * c * len(levels)} thresholds: more than this checker tries")
        part = max(1, 400_000 // (c * len(levels)))
        steps = np.tile(levels[1:], part)[None]
        for begin in range(0, every, part):
            o = np.minimum(low[outer][:, None] + np.arange(begin, begin + part)[None], high[outer][:, None])
            o = np.repeat(o, len(levels) - 1, 1)
            a, b = np.broadcast_to(lo[:, None] - 1, o.shape), np.broadcast_to(hi[:, None] + 1, o.shape)
            while (b - a > 1).any():
                middle = (a + b) >> 1
                reached = wanted(*order(o, middle)) >= steps
                a, b = np.where((b - a > 1) & ~reached, middle, a), np.where((b - a > 1) & reached, middle, b)
            for at, used in ((b, b <= hi[:, None]), (b - 1, b - 1 >= lo[:, None])):
                u = order(o, np.clip(at, lo[:, None], hi[:, None]))
                x, (y, _) = wanted(*u), emitted(*u)
                if (bad := used & (x != y)).any():
                    i, j = np.argwhere(bad)[0]
                    raise Wrong("a payload differs", channel=int(i), accumulators=[int(v[i, j]) for v in u],
                                reference=int(x[i, j]), emitted=int(y[i, j]))
            # Between two thresholds both are constant if the emitted answer is the same at both ends.
            for at in (lo, hi):
                u = order(o, np.broadcast_to(at[:, None], o.shape))
                x, (y, _) = wanted(*u), emitted(*u)
                if (x != y).any():
                    i, j = np.argwhere(x != y)[0]
                    raise Wrong("a payload differs", channel=int(i), accumulators=[int(v[i, j]) for v in u],
                                reference=int(x[i, j]), emitted=int(y[i, j]))
        return f"{len(levels) - 1} thresholds on each of {every} values of the other operand"

    def turned(self, node, reference, sources, state):
        """A population that turns the encoder's payloads into the model's."""
        (source,) = sources
        s, = (self.network["nodes"][i] for i, _ in node["operands"])
        if source.encoder is None or s["op"] != "projection" or s["parameters"]["connectivity"] != "one-to-one" or node["shape"][0] > 1:
            raise NotCheckable("the model's input is quantised elsewhere")
        frame, (low, high) = Frame(node, self.timing, 1, source.constant), source.encoder.levels
        weight = int(s["data"].ravel()[0]) * int((s["parameters"].get("gain") or [1])[0]) * source.times
        table = frame.answers(np.arange(low, high + 1)[None] * weight + frame.bias()[:, None])[0][0]
        encoder = next(n for n in self.network["nodes"] if n["op"] == "encoder")["name"]
        wrong = None
        try:
            if (np.diff(table) < 0).any():
                raise NotCheckable("an input that is turned round")
            self.same_codes(reference, lambda x: table[source.encoder.code(x) - low])
        except Wrong as e:
            wrong = e
        self.judge(encoder, wrong, "all f32 numbers get the same codes, with the population behind it")
        if wrong is not None:
            raise wrong
        return "all f32 numbers get the same codes"

    def scores(self, node, reference, pairs, frame):
        """A read-out: raw values and their scale and zero make the model's scores."""
        bias = self.shown(frame, pairs)
        users = [n for n in self.network["nodes"] if n["op"] == "decoder" and self.network["nodes"][n["operands"][0][0]] is node]
        if len(pairs) != 1 or len(users) != 1 or frame.timesteps > 1 and users[0]["parameters"]["readout"] != "last":
            raise NotCheckable("scores that are made otherwise than by one sum and one decoder")
        p, pair, f = users[0]["parameters"], pairs[0], reference.filters
        if len(pair["of"]) != f:
            raise NotCheckable("scores of copies")
        rule = reference.rule
        factor, shift = rule.affine or (np.ones(f), np.zeros(f))
        slope = rule.operands[0].astype(np.float64) * factor * pair["reference"]
        base = (np.asarray(reference.bias[0]) * rule.operands[0].astype(np.float64) + sum(np.asarray(c, np.float64) for _, c in rule.constants))
        base = base * factor + shift
        spread = lambda v, d: np.broadcast_to(np.asarray(v if len(v) else [d], np.float64), f)
        scale, zero = spread(p["scale"], 1), spread(p.get("zero") or [], 0)
        own_slope, own_base = scale * pair["emitted"], scale * (bias - zero)
        active = pair["prime"].weights.any(1)
        off = active & (np.abs(own_slope - slope) > 2.0 ** -22 * np.abs(slope))
        if off.any():
            c = int(np.argmax(off))
            raise Wrong("scores count in another unit", channel=c, reference=float(slope[c]), emitted=float(own_slope[c]))
        unit = np.abs(slope) / pair["reference"]
        # Scales are f32 numbers, so a bias of n units is off by n ulp at the most.
        room = WHOLE * unit + 2.0 ** -22 * np.abs(base)
        # Whole units of a bias are in the accumulator; what is left of it may be the host's.
        rest = self.rest.get(users[0]["name"], np.zeros(1))
        if len(rest) in (1, f) and (np.abs(own_base + rest - base) <= room).all():
            own_base = own_base + rest
        if (np.abs(own_base - base) > room).any():
            c = int(np.argmax(np.abs(own_base - base) - room))
            raise Wrong("scores are off by a constant", channel=c, accumulator=0, reference=float(base[c]), emitted=float(own_base[c]),
                        units_off=float((own_base[c] - base[c]) / unit[c]))
        return "weights, bias and scale of every score are the model's"

    def shown(self, frame, pairs):
        """The bias of a read-out; an Akida 2 stage is one if nothing saturates and nothing is scaled."""
        bias = frame.bias().astype(np.float64)
        if frame.neuron == "accumulate":
            return bias
        n = frame.neuron.get("akida-two")
        if n is None or len(pairs) != 1:
            raise NotCheckable("its potential is not read out")
        pair, of = pairs[0], pairs[0]["of"]
        v = pair["emitted"][:, None] * np.linspace(pair["low"][of], pair["high"][of], 257).astype(np.int64).T + frame.bias()[:, None]
        bias = bias + (n["bias"] << n["bias_shift"])
        own = v + (n["bias"] << n["bias_shift"])[:, None]
        if (off := frame.answers(v)[0] != own).any():
            c, j = np.argwhere(off)[0]
            raise Wrong("a read-out shows another number than its potential", channel=int(c), potential=int(own[c, j]),
                        emitted=int(frame.answers(v)[0][c, j]))
        if n["ceiling"] is not None or (n["scale"] != 1).any() or n["shift"].any():
            raise NotCheckable("its potential is not read out as it is")
        bits = min(n["post_bits"], n["output_bits"], n["fused_bits"] or 64)
        ends = np.stack([pairs[0]["emitted"] * pairs[0][k][pairs[0]["of"]] + bias for k in ("low", "high")])
        if ends.min() < -(1 << (bits - 1)) or ends.max() >= 1 << (bits - 1):
            raise Wrong(f"a read-out of {bits} bits saturates", potential=int(ends.max() if ends.max() >= 1 << (bits - 1) else ends.min()))
        return bias

    def on_decoder(self, node, sources):
        ids, scale = self.model.outputs.get(node["name"], (None, None)) if not isinstance(
            self.model.outputs.get(node["name"]), NotCheckable) else (None, None)
        source = self.network["nodes"][node["operands"][0][0]]
        p, state = node["parameters"], sources[0]
        if state.ids is None or source["name"] not in self.answers:
            return state
        if ids is not None and not np.array_equal(state.ids.ravel(), ids):
            self.judge(source["name"], Wrong(f"`{node['name']}` shows other neurons than the model's output"), None)
        reference = self.by_name.get(source["name"])
        if reference is not None and reference.kind == "neurons":
            scale = reference.rule.out.scale if scale is None else scale
            own = np.asarray(p["scale"], F32)
            if np.abs(own / scale - 1).max() > 2.0 ** -22 or any(p.get("zero") or [0]):
                self.judge(source["name"], Wrong("its scores count in another unit", reference=float(scale), emitted=float(own[0])), None)
            if self.timing["timesteps"] > 1 and p["readout"] != "sum":
                self.judge(source["name"], Wrong("its payloads are not summed up"), None)
        return state

    # Differences that are listed

    def differs(self, name, claim, wrong):
        if wrong is not None and "units" not in wrong.witness:
            return self.answer(name, WRONG, str(wrong), witness={k: v for k, v in wrong.witness.items() if k != "rows"})
        reference, pairs, frame = self.last
        if len(pairs) != 1 or self.count > 4 * EXHAUSTIVE:
            return self.answer(name, OPEN, "differences of two operands, or of more accumulators than are tried")
        pair, bias = pairs[0], frame.bias()
        found, listed = set(), {}
        for d in claim["differences"]:
            if d["to"] - d["from"] > EXHAUSTIVE:
                return self.answer(name, WRONG, "a list of differences that cannot be")
            for acc in range(d["from"], d["to"] + 1):
                listed[(d["channel"], acc)] = (d["reference"], d["emitted"])
        for c in range(len(pair["of"])):
            f = pair["of"][c]
            u = np.arange(pair["low"][f], pair["high"][f] + 1)[None]
            rule = reference.rule.rows([f])
            acc = pair["reference"][f] * u
            a = rule.payload(acc + np.asarray(reference.bias[0])[f])
            one = Frame(self.row(frame, c), self.timing, 1, False)
            b, _ = one.answers(pair["emitted"][c] * u + bias[c])
            for j in np.flatnonzero(a[0] != b[0]):
                key = (int(c % reference.filters), int(acc[0, j]))
                found.add(key)
                if listed.get(key) != (int(a[0, j]), int(b[0, j])):
                    return self.answer(name, WRONG, "a difference that the certificate does not list", witness={
                        "channel": key[0], "accumulator": key[1], "reference": int(a[0, j]), "emitted": int(b[0, j])})
        if spare := set(listed) - found:
            c, acc = min(spare)
            inside = pair["low"][c] * pair["reference"][c] <= acc <= pair["high"][c] * pair["reference"][c]
            if inside and acc % pair["reference"][c] == 0:
                return self.answer(name, WRONG, "a listed difference that is none", witness={"channel": c, "accumulator": acc})
        if claim["differing"] != len(listed):
            return self.answer(name, WRONG, f"{len(listed)} differences are listed, {claim['differing']} are stated")
        self.answer(name, CHECKED, f"exactly the {len(found)} listed accumulators differ")

    def row(self, frame, c):
        """The node of one channel alone."""
        cut = lambda v: [v[c if len(v) > 1 else 0]] if len(v) else []
        p = dict(frame.node)
        p["bias"] = cut(p.get("bias") or [])
        if p["neuron"] != "accumulate":
            (kind, n), = p["neuron"].items()
            keys = {"graded": ("multiplier", "offset", "divisor"), "thresholds": ("thresholds",), "akida-two": (
                "bias", "bias_shift", "scale", "shift", "ceiling"), "integrate-and-fire": ("threshold", "initial")}.get(kind, ())
            p["neuron"] = {kind: {k: cut(v) if k in keys and v is not None else v for k, v in n.items()}}
        return {"parameters": p}

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
            ids = np.resize(reference.ids, int(np.prod(node["shape"])))
            if len(ids) != totals[node["name"]].shape[1]:
                continue
            bad = values[:, ids] != totals[node["name"]]
            if bad.any():
                s, neuron = map(int, np.argwhere(bad)[0])
                image = {k: v[s].tolist() if v.shape[1] <= 4096 else f"sample {s} of seed 7" for k, v in payloads.items()}
                return {"image": image, "seen_at": node["name"], "neuron": neuron, "payloads": [int(values[s, ids[neuron]]), int(totals[node["name"]][s, neuron])]}
        return {}


def check(artefact, model):
    """The answers, one for each population of the certificate."""
    checker = Checker(artefact, model)
    return list(checker.run().values())
