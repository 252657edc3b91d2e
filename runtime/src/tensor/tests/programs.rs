use snnc_ir::{DType, Graph};

use super::*;
use crate::tensor::Program;

const NETWORK: &str = r#"snnir 1 tensor "two" {"timesteps":1,"schedule":"streaming"}
%x = input () : f32[1,3]
%w = constant () : f32[2,3]
  data f32[2,3] 1.0 0.0 -1.0 2.0 2.0 2.0
%fc = dense (%x, %w) : f32[1,2] from [{"node":"fc1","op":"Gemm"}]
%relu = unary "relu" (%fc) : f32[1,2]
%y = output (%relu) : f32[1,2]
%raw = output (%fc) : f32[1,2]
"#;

#[test]
fn outputs_come_in_order_with_names() {
    let graph = Graph::from_text(NETWORK).unwrap();
    let program = Program::new(&graph).unwrap();
    let x = reals(&[1, 3], &[1.0, 2.0, 3.0]).0;
    let outcome = program.run(std::slice::from_ref(&x)).unwrap();
    let names: Vec<&str> = outcome.outputs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["y", "raw"]);
    assert_eq!(outcome.first().unwrap().as_f32().unwrap(), [0.0, 12.0]);
    assert_eq!(outcome.get("raw").unwrap().as_f32().unwrap(), [-2.0, 12.0]);

    let mut seen = Vec::new();
    let mut observe = |id, value: &Value| {
        seen.push((graph[id].name.clone(), value.shape().to_vec()));
    };
    program.run_with(&[x], &mut observe).unwrap();
    assert_eq!(seen.len(), graph.len(), "every node is shown");
    assert!(seen.contains(&("w".into(), vec![2, 3])));
}

#[test]
fn one_program_runs_on_many_threads() {
    let program = Program::new(&Graph::from_text(NETWORK).unwrap()).unwrap();
    std::thread::scope(|scope| {
        for i in 0..4 {
            let program = &program;
            scope.spawn(move || {
                let x = reals(&[1, 3], &[i as f32, 0.0, 0.0]).0;
                let y = program.run(&[x]).unwrap();
                assert_eq!(y.first().unwrap().as_f32().unwrap(), [i as f32, 2.0 * i as f32]);
            });
        }
    });
}

#[test]
fn faults_name_their_node() {
    let fault = |from: &str, to: &str| {
        let graph = Graph::from_text(&NETWORK.replacen(from, to, 1)).unwrap();
        Program::new(&graph).unwrap_err().to_string()
    };
    assert!(fault("dense (%x, %w) : f32[1,2]", "dense (%w, %w) : f32[1,2]").contains("Gemm `fc1`"));
    assert!(fault("dense (%x, %w)", "dense (%x+1, %w)").contains("timesteps"));
    assert!(fault("  data f32[2,3] 1.0 0.0 -1.0 2.0 2.0 2.0\n", "").contains("`w`"));
    assert!(fault("dense (%x, %w)", "dense (%relu, %w)").contains("cycle"));

    let program = Program::new(&Graph::from_text(NETWORK).unwrap()).unwrap();
    assert_eq!(program.run(&[]), Err(RunError::Inputs { expected: 1, found: 0 }));
    let wrong = program.run(&[integers(DType::I8, &[1, 3], &[0; 3]).0]).unwrap_err();
    assert_eq!(wrong.to_string(), "`x`: a value of integers [1, 3] is given for f32[1,3]");
}

#[test]
fn an_overflowing_accumulator_names_its_node() {
    let text = r#"snnir 1 quantised "q" {"timesteps":1,"schedule":"streaming"}
%x = input () : i32[1,2]
%w = constant () : i8[1,2]
  data i8[1,2] 127 127
%fc = dense (%x, %w) : i32[1,1] from [{"node":"fc1","op":"Gemm"}]
%y = output (%fc) : i32[1,1]
"#;
    let program = Program::new(&Graph::from_text(text).unwrap()).unwrap();
    let run = |x: i64| program.run(&[integers(DType::I32, &[1, 2], &[x, x]).0]);
    assert_eq!(run(1).unwrap().first().unwrap().as_i64().unwrap(), [254]);
    let overflow = run(i64::from(i32::MAX)).unwrap_err().to_string();
    assert!(overflow.starts_with("Gemm `fc1`: an accumulator of i32"), "{overflow}");
}

#[test]
fn what_depends_on_constants_alone_is_computed_once_and_still_shown() {
    let text = r#"snnir 1 tensor "c" {"timesteps":1,"schedule":"streaming"}
%x = input () : f32[2]
%a = constant () : i32[2]
  data i32[2] 1 2
%cast = cast (%a) : f32[2]
%bad = lookup {"minimum":0,"table":[7,7]} (%a) : i32[2]
%sum = binary "add" (%x, %cast) : f32[2]
%y = output (%sum) : f32[2]
"#;
    let fault = Program::new(&Graph::from_text(text).unwrap()).unwrap_err().to_string();
    assert!(
        fault.contains("`bad`"),
        "a constant without a result is found before any run: {fault}"
    );
    let good: String =
        text.lines().filter(|l| !l.starts_with("%bad")).fold(String::new(), |t, l| t + l + "\n");
    let graph = Graph::from_text(&good).unwrap();
    let program = Program::new(&graph).unwrap();
    let mut shown = Vec::new();
    let x = reals(&[2], &[0.5, 0.5]).0;
    let mut observe = |id, value: &Value| shown.push((id, value.clone()));
    program.run_with(&[x], &mut observe).unwrap();
    let cast = shown.iter().find(|(id, _)| *id == graph.find("cast").unwrap()).unwrap();
    assert_eq!(cast.1.as_f32().unwrap(), [1.0, 2.0]);
}

#[test]
fn a_lean_program_keeps_and_shows_no_constant_that_is_packed() {
    let text = r#"snnir 1 tensor "lean" {"timesteps":1,"schedule":"streaming"}
%x = input () : f32[1,2]
%w = constant () : i8[3,2]
  data i8[3,2] 2 0 0 2 4 -2
%reals = dequantise {"scale":[0.5],"zero_point":[0],"minimum":-128,"maximum":127,"rounding":"half-even"} (%w) : f32[3,2]
%b = constant () : f32[3]
  data f32[3] 1 2 3
%fc = dense (%x, %reals, %b) : f32[1,3]
%y = output (%fc) : f32[1,3]
%z = output (%b) : f32[3]
"#;
    let graph = Graph::from_text(text).unwrap();
    let x = reals(&[1, 2], &[3.0, 5.0]).0;
    let (lean, whole) = (Program::lean(&graph).unwrap(), Program::new(&graph).unwrap());
    let wanted = whole.run(std::slice::from_ref(&x)).unwrap();
    let mut shown = Vec::new();
    let mut observe = |id, _: &Value| shown.push(graph[id].name.clone());
    assert_eq!(lean.run_with(std::slice::from_ref(&x), &mut observe).unwrap(), wanted);
    assert_eq!(wanted.first().unwrap().as_f32().unwrap(), [4.0, 7.0, 4.0]);
    match crate::kernels::Kernels::chosen() {
        crate::kernels::Kernels::Scalar => assert!(shown.contains(&"reals".to_owned())),
        _ => assert_eq!(shown, ["x", "fc", "y", "z"], "an output is shown"),
    }
}

#[test]
fn codes_that_only_dequantisers_read_are_unpacked_as_the_rest() {
    let q = |zero: &str| {
        format!(
            r#"{{"scale":[0.5,0.25,3.0],"zero_point":{zero},"axis":0,"minimum":-8,"maximum":7,"rounding":"half-even"}}"#
        )
    };
    for (dtype, zero) in [("i8", "[0,0,0]"), ("i4", "[1,-2,0]"), ("i16", "[0]")] {
        let text = format!(
            r#"snnir 1 tensor "codes" {{"timesteps":1,"schedule":"streaming"}}
%x = input () : f32[1,5]
%w = constant () : {dtype}[3,5]
  data {dtype}[3,5] 2 0 -8 2 4 -2 7 1 1 0 -1 -3 5 6 7
%reals = dequantise {} (%w) : f32[3,5]
%fc = dense (%x, %reals) : f32[1,3]
%y = output (%fc) : f32[1,3]
%z = output (%reals) : f32[3,5]
"#,
            q(zero)
        );
        let graph = Graph::from_text(&text).unwrap();
        let x = reals(&[1, 5], &[3.0, 5.0, -1.0, 0.5, 2.0]).0;
        let (lean, whole) = (Program::lean(&graph).unwrap(), Program::new(&graph).unwrap());
        assert_eq!(lean.run(std::slice::from_ref(&x)), whole.run(&[x]), "{dtype}");
    }
}
