//! `eval bn` over folders of both shapes: right references pass, a wrong digit does not, bad files are named with their place.
use faultline_eval::bn::{BnArgs, run};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

const BIF: &str = "network rain { }
variable rain { type discrete [ 2 ] { yes, no }; }
variable wet { type discrete [ 2 ] { yes, no }; }
variable shoes { type discrete [ 3 ] { dry, damp, soaked }; }
probability ( rain ) { table 0.2, 0.8; }
probability ( wet | rain ) { (yes) 0.9, 0.1; (no) 0.1, 0.9; }
probability ( shoes | wet ) { (yes) 0.0, 0.5, 0.5; (no) 0.9, 0.1, 0.0; }
";
/// Of `shoes = soaked`: it is wet; P = (0.2 * 0.9 + 0.8 * 0.1) / 2 = 0.13.
const REFERENCE: &str = r#"{"queries": [{"id": 7, "evidence": {"shoes": "soaked"}, "log_prob_evidence": -2.040220828526555,
  "marginals": {"rain": [0.6923076923076923, 0.3076923076923077], "wet": [1.0, 0.0], "shoes": [0.0, 0.0, 1.0]}}]}"#;
const UAI: &str = "MARKOV 2 2 2 1 2 0 1 4 3 1 1 1";
const MARGINALS: &str = "MAR\n2 2 0.75 0.25 2 1 0";

fn evaluate(folder: &Path) -> Result<(ExitCode, String), String> {
    let out = folder.join("out.jsonl");
    let args = BnArgs {
        data: vec![folder.to_owned()],
        random: None,
        first_seed: 1,
        out: Some(out.clone()),
        only: Vec::new(),
        bound: 1 << 20,
        peer: false,
        peer_bound: 0,
    };
    let code = run(&args).map_err(|error| error.to_string())?;
    Ok((code, fs::read_to_string(out).expect("written")))
}

#[test]
fn references_are_held_against() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("within the folder")).expect("a folder");
        fs::write(path, text).expect("written");
    };
    write("networks/rain.bif", BIF);
    write("reference/rain.json", REFERENCE);
    let (code, lines) = evaluate(folder.path()).expect("read");
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(lines.starts_with(r#"{"log_prob_evidence":-2.04022"#) && lines.contains(r#""query":7"#), "{lines}");

    write("reference/rain.json", &REFERENCE.replace("0.6923076923076923", "0.6923077123076923"));
    assert_eq!(evaluate(folder.path()).expect("read").0, ExitCode::from(1));

    write("networks/rain.bif", &BIF[..BIF.len() - 20]);
    assert!(evaluate(folder.path()).expect_err("cut short").starts_with("rain: line 7: the text ends"));
}

#[test]
fn uai_instances_are_held_against() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("pair.uai", UAI);
    write("pair.uai.evid", "1 1 0");
    write("pair.uai.MAR", MARGINALS);
    assert_eq!(evaluate(folder.path()).expect("read").0, ExitCode::SUCCESS);
    write("pair.uai.MAR", "MAR 2 2 0.7501 0.2499 2 1 0");
    assert_eq!(evaluate(folder.path()).expect("read").0, ExitCode::from(1));
    write("pair.uai.MAR", "MAR 1 2 0.75 0.25");
    assert_eq!(evaluate(folder.path()).expect_err("another"), "pair: the marginals are of other variables");
}
