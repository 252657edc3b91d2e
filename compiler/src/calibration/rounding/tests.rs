use super::*;
use crate::calibration::insert::{insert, quantise_weights};

/// A residual network: a layer, one behind it whose outputs meet the skip path, and a read-out; two
/// convolutions in front, one of them in groups.
fn network() -> Graph {
    let weights = |n: usize, seed: usize| {
        let w = (0..n).map(|i| ((i * 7919 + seed * 104_729) % 229) as f32 / 229.0 - 0.47);
        w.map(|w| format!("{w}")).collect::<Vec<_>>().join(" ")
    };
    let text = format!(
        r#"snnir 1 tensor "r" {{"timesteps":1,"schedule":"streaming"}}
%x = input () : f32[1,2,6]
%k = constant () : f32[4,2,3]
  data f32[4,2,3] {k}
%g = constant () : f32[4,2,3]
  data f32[4,2,3] {g}
%w = constant () : f32[24,24]
  data f32[24,24] {w}
%v = constant () : f32[3,24]
  data f32[3,24] {v}
%c = convolution {{"window":{{"kernel":[3],"strides":[1],"dilations":[1],"before":[1],"after":[1]}},"groups":1}} (%x, %k) : f32[1,4,6]
%r = unary "relu" (%c) : f32[1,4,6]
%d = convolution {{"window":{{"kernel":[3],"strides":[1],"dilations":[1],"before":[1],"after":[1]}},"groups":2}} (%r, %g) : f32[1,4,6]
%s = unary "relu" (%d) : f32[1,4,6]
%flat = reshape (%s) : f32[1,24]
%a = dense (%flat, %w) : f32[1,24]
%sum = binary "add" (%a, %flat) : f32[1,24]
%t = unary "relu" (%sum) : f32[1,24]
%last = dense (%t, %v) : f32[1,3]
%y = output (%last) : f32[1,3]
"#,
        k = weights(24, 1),
        g = weights(24, 2),
        w = weights(576, 3),
        v = weights(72, 4),
    );
    Graph::from_text(&text).unwrap()
}

fn samples() -> Vec<Value> {
    let value =
        |i: usize| (0..12).map(|k| ((i * 31 + k * 17 + i * k) % 256) as f32 / 255.0).collect();
    (0..120).map(|i| Value::from_f32(&[1, 2, 6], value(i)).unwrap()).collect()
}

/// Quantisers of 3-bit payloads behind everything that is rectified, and of 8 bits behind the input.
fn quantisers(coded: &mut Graph) -> HashMap<NodeId, Quantiser> {
    let steps = [
        ("x", 1.0 / 255.0, 255, true),
        ("r", 0.2, 7, false),
        ("s", 0.2, 7, false),
        ("t", 0.3, 7, false),
    ];
    let mut found = HashMap::new();
    for (name, step, levels, fixed) in steps {
        let site = coded.find(name).unwrap();
        let (codes, reals) = insert(coded, site, Quantisation::per_tensor(step, 0, 0, levels));
        found.insert(site, Quantiser { codes, reals, fixed });
    }
    found
}

/// The quantised network and the squared error of its scores on the samples.
fn rounded(isa: Isa, second_order: bool) -> (Graph, f64) {
    let float = network();
    let inputs = samples();
    let mut coded = float.clone();
    let quantisers = quantisers(&mut coded);
    let rounding = Rounding { float: float.clone(), inputs: inputs.clone(), isa };
    let mut put = |graph: &mut Graph, layer: NodeId, found: Option<Codes>| {
        assert!(found.is_some());
        let weights = graph.source(layer, 1).unwrap();
        let found = found.filter(|_| second_order);
        quantise_weights(graph, layer, 3, &mut found.map(|f| (weights, f)).into_iter().collect());
    };
    rounding.apply(&mut coded, &quantisers, &|_, _| 3, &mut put).unwrap();
    let scores = |graph: &Graph| -> Vec<f32> {
        let program = snnc_runtime::tensor::Program::lean(graph).unwrap();
        let run = |x: &Value| program.run(std::slice::from_ref(x)).unwrap().outputs[0].1.to_f32();
        inputs.iter().flat_map(run).collect()
    };
    let squares =
        scores(&float).into_iter().zip(scores(&coded)).map(|(a, b)| f64::from(a - b).powi(2));
    let error = squares.sum();
    (coded, error)
}

#[test]
fn second_order_loses_less_than_nearest_rounding() {
    let isa = Isa::of(Kernels::best()).unwrap();
    let (second, nearest) = (rounded(isa, true).1, rounded(isa, false).1);
    assert!(second < 0.5 * nearest, "{second} against {nearest}");
}

#[test]
fn every_instruction_set_and_number_of_threads_gives_the_same_bytes() {
    let expected = rounded(Isa::of(Kernels::best()).unwrap(), true).0.to_wire();
    for isa in Kernels::ALL.into_iter().filter_map(Isa::of) {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(
                pool.install(|| rounded(isa, true).0.to_wire()) == expected,
                "{isa:?} {threads}"
            );
        }
    }
}

#[test]
fn a_skip_path_shifts_the_targets_by_what_it_has_lost() {
    let float = network();
    let mut coded = float.clone();
    let quantisers = quantisers(&mut coded);
    let behind = quantisers.iter().map(|(&node, q)| (q.reals, node)).collect();
    let found = |name: &str| skip_path(&float, &coded, coded.find(name).unwrap(), &behind);
    let flat = coded.find("flat").unwrap();
    assert_eq!(found("a"), Some((flat, flat)));
    assert_eq!(found("last"), None);
    let inputs = samples();
    let layers = layers(&float).unwrap();
    let mut sweeps = [Sweep::new(&float, &layers, &inputs), Sweep::new(&coded, &layers, &inputs)];
    let a = coded.find("a").unwrap();
    for (sweep, graph) in sweeps.iter_mut().zip([&float, &coded]) {
        for id in sweep.order().to_vec().into_iter().take_while(|&id| id != a) {
            sweep.compute(graph, id).unwrap();
        }
    }
    sweeps[0].compute(&float, a).unwrap();
    let [of_float, of_coded] = &sweeps;
    let targets = targets(a, found("a"), (of_float, of_coded));
    let all = |value: &[Value]| value.iter().flat_map(Value::to_f32).collect::<Vec<f32>>();
    let (ideal, found) = (all(of_float.values(flat)), all(of_coded.values(flat)));
    let wanted = all(of_float.values(a)).into_iter().zip(ideal.iter().zip(&found));
    assert_eq!(all(&targets), wanted.map(|(t, (f, v))| t + (f - v)).collect::<Vec<_>>());
    assert_ne!(ideal, found);
}
