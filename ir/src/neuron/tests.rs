//! What holds of every model on the list.

use proptest::prelude::*;

use super::*;

fn thresholds(row: &[i64]) -> TimeTable {
    TimeTable(vec![row.to_vec()])
}

/// At least one neuron of each model, of one channel, in wire form.
fn examples() -> Vec<Neuron> {
    include_str!("examples.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn reasons(neuron: &Neuron, barrier: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    neuron.check(&mut Checks { channels: 1, neurons: 1, barrier, reasons: &mut reasons });
    reasons
}

/// What one neuron on integers sends.
fn run(neuron: &Neuron, input: &[i64]) -> Option<Vec<i64>> {
    let mut states = neuron.states(1, 1)?;
    Some(input.iter().enumerate().map(|(t, &x)| states.step(t, [x])[0]).collect())
}

#[test]
fn every_model_has_an_example_that_the_verifier_takes() {
    let examples = examples();
    for name in Neuron::NAMES {
        assert!(examples.iter().any(|n| n.name() == *name), "there is no example of {name}");
    }
    for neuron in &examples {
        assert_eq!(reasons(neuron, false), [""; 0], "{neuron:?}");
    }
}

#[test]
fn the_wire_form_keeps_its_bytes() {
    let examples = examples();
    for (line, neuron) in include_str!("examples.jsonl").lines().zip(&examples) {
        let again = serde_json::to_string(neuron).unwrap();
        let word = again.trim_start_matches(['{', '"']).split('"').next();
        assert_eq!(word, Some(neuron.word()));
        assert_eq!(serde_json::from_str::<Neuron>(&again).unwrap(), *neuron);
        // Absent parameters that have a default are written out, others stay absent.
        let defaults = [r#","leak":"none""#, r#","comparison":"at-least""#];
        let short = defaults.iter().fold(again, |text, part| text.replace(part, ""));
        assert_eq!(short, line);
    }
}

#[test]
fn every_neuron_is_on_integers_or_on_reals() {
    for neuron in examples() {
        let (integers, reals) = (neuron.states(4, 2), neuron.real_states(4, 2));
        assert_eq!((integers.is_some(), reals.is_some()), (!neuron.is_real(), neuron.is_real()));
        if let Some(mut states) = integers {
            assert_eq!(states.potentials().len(), 4);
            assert_eq!(states.step(0, [1, 2, 3, 4]).len(), 4, "{neuron:?}");
        }
        if let Some(mut states) = reals {
            assert_eq!(states.step(0, [1.0; 4]), [1.0; 4]);
            assert_eq!(states.potentials(), [1.0; 4]);
        }
    }
}

#[test]
fn what_falls_is_no_staircase() {
    let falls = |neuron: &Neuron| {
        neuron.single_shot(0, 0).is_some()
            && (-500..500).any(|v| neuron.single_shot(0, v) > neuron.single_shot(0, v + 1))
    };
    let examples = examples();
    assert_eq!(examples.iter().filter(|n| falls(n)).count(), 2, "a table and a negative scale");
    for neuron in &examples {
        assert!(neuron.staircase().is_none() || !falls(neuron), "{neuron:?}");
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    let mut found = 0;
    let mut refused = |neuron: Neuron| {
        assert_ne!(reasons(&neuron, true), [""; 0], "{neuron:?}");
        found += 1;
    };
    for neuron in examples() {
        if let Some(n) = neuron.get::<GradedNeuron>() {
            refused(GradedNeuron { divisor: vec![0], ..n.clone() }.into());
            refused(GradedNeuron { multiplier: vec![], ..n.clone() }.into());
            refused(GradedNeuron { minimum: 16, ..n.clone() }.into());
        }
        if let Some(n) = neuron.get::<ThresholdTable>() {
            refused(ThresholdTable { thresholds: vec![vec![1, 0]], ..n.clone() }.into());
        }
        if let Some(n) = neuron.get::<IntegrateAndFire>() {
            refused(IntegrateAndFire { maximum: -1, ..n.clone() }.into());
            let leak = Leak::Averaging { shift: 64, kept: 1 };
            refused(IntegrateAndFire { leak, ..n.clone() }.into());
            refused(IntegrateAndFire { threshold: thresholds(&[]), ..n.clone() }.into());
            refused(
                IntegrateAndFire { threshold: thresholds(&[0]), maximum: 2, ..n.clone() }.into(),
            );
            let retracting = NegativeSpikes::Retracting { minimum: 0, maximum: 7 };
            refused(IntegrateAndFire { signed_limit: Some(retracting), ..n.clone() }.into());
        }
        if let Some(n) = neuron.get::<SigmaDeltaNeuron>() {
            refused(
                SigmaDeltaNeuron { spike_exponent: 200, state_exponent: 100, ..n.clone() }.into(),
            );
            refused(SigmaDeltaNeuron { bias: vec![1, 2], ..n.clone() }.into());
        }
        if let Some(n) = neuron.get::<CurrentBasedNeuron>() {
            refused(CurrentBasedNeuron { bias_exponent: 64, ..n.clone() }.into());
            let reset = Some(PeriodicReset { interval: 3, first: 3 });
            refused(CurrentBasedNeuron { reset, ..n.clone() }.into());
        }
        if let Some(n) = neuron.get::<AkidaTwoNeuron>() {
            refused(AkidaTwoNeuron { post_bits: 0, ..n.clone() }.into());
            refused(AkidaTwoNeuron { fused_bits: Some(0), ..n.clone() }.into());
            refused(AkidaTwoNeuron { ceiling: Some(vec![]), ..n.clone() }.into());
        }
        if let Some(n) = neuron.get::<LookupNeuron>() {
            refused(LookupNeuron { table: vec![], ..n.clone() }.into());
        }
        if let Some(n) = neuron.get::<FloatNeuron>() {
            refused(FloatNeuron { decay: vec![f32::NAN], ..n.clone() }.into());
        }
    }
    assert_eq!(found, 2 * 3 + 2 + 5 * 5 + 3 * 2 + 2 + 2 * 3 + 2 + 1);
}

proptest! {
    #[test]
    fn the_single_shot_answer_is_the_first_step(v in -5000i64..5000) {
        for neuron in examples() {
            if let (Some(shot), Some(sent)) = (neuron.single_shot(0, v), run(&neuron, &[v])) {
                prop_assert_eq!(shot, sent[0], "{:?}", neuron);
            }
        }
    }

    #[test]
    fn nothing_is_sent_beyond_the_bounds(a in -5000i64..5000, b in -5000i64..5000) {
        let (low, high) = (a.min(b), a.max(b));
        for neuron in examples() {
            let reach = Interval::new(low, high);
            for v in [low, (low + high) / 2, high, 0] {
                let Some(sent) = run(&neuron, &[v]) else { continue };
                let inside = |i: Interval| i.low <= sent[0] && sent[0] <= i.high;
                let is_reached = low <= v && v <= high;
                let bound = neuron.sent(0, reach, 1).filter(|_| is_reached);
                prop_assert!(bound.is_none_or(inside), "{neuron:?} sends {sent:?} of {v}");
                prop_assert!(neuron.payloads().is_none_or(inside), "{neuron:?} sends {sent:?}");
            }
        }
    }

    #[test]
    fn thresholds_are_where_payloads_change(level in -10i64..20) {
        for neuron in examples() {
            let Some(stairs) = neuron.staircase() else { continue };
            if let Some(t) = stairs.threshold(0, level) {
                prop_assert!(stairs.payload(0, t) >= level && stairs.payload(0, t - 1) < level);
                let range = neuron.threshold_range(1);
                prop_assert!(range.is_some_and(|r| r.low <= t && t <= r.high), "{neuron:?}");
            }
        }
    }

    #[test]
    fn inner_sums_are_those_of_every_input_between(low in -4000i64..4000, n in 0i64..3000) {
        for neuron in examples() {
            let whole = neuron.inner_sums(0, Interval::new(low, low + n));
            for v in [low, low + n / 2, low + n] {
                for (own, all) in neuron.inner_sums(0, Interval::new(v, v)).iter().zip(&whole) {
                    prop_assert!(all.reach.low <= own.reach.low && own.reach.high <= all.reach.high);
                }
            }
        }
    }

    #[test]
    fn behind_a_barrier_one_answer_is_that_of_the_sum(v in -500i64..500) {
        for neuron in examples() {
            let (Some(mut states), Some(shot)) = (neuron.states(1, 1), neuron.single_shot(0, v)) else {
                continue;
            };
            let mut sent: Vec<i64> =
                (0..3).map(|t| states.step_behind_barrier((t, 3), [v])[0]).collect();
            if let Some(n) = neuron.get::<IntegrateAndFire>() {
                prop_assert_eq!(sent, n.fire(0, v, 3));
            } else {
                prop_assert_eq!(sent.pop(), Some(shot), "{:?}", neuron);
                prop_assert!(sent.iter().all(|&x| x == 0), "{:?}", neuron);
            }
        }
    }
}
