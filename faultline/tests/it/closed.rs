//! `faultline why` and `faultline incidents close` against a running server, and `faultline verify` after them.
use crate::real_api::write;
use crate::real_tools::{Faultline, asked_within};
use faultline_model::{Labels, Millis, Sample};
use std::fs;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

fn close(server: &Faultline, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faultline"));
    command
        .args(["incidents", "close"])
        .args(words)
        .args(["--url", &server.api])
        .output()
        .expect("the binary was built")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_incident_is_told_of_closed_and_learned_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = "groups:\n- {name: g, interval: 1s, rules: [{alert: Page, expr: page > 0, labels: {service: web, team: shop},\n\
                 \x20 annotations: {runbook_url: \"https://wiki.example/page\"}}]}\n";
    fs::write(folder.path().join("r.yml"), rules).expect("it can be written");
    fs::write(folder.path().join("faultline.yaml"), "calls: {web: [a, b]}\n").expect("it can be written");
    let server = Faultline::start(folder.path(), &["--no-builtin-rules", "--rules", "r.yml"]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    write(&server.api, &[(Labels::new([("__name__", "page")]), vec![Sample::new(Millis(now), 1.0)])]);

    let incident = || server.get("/api/faultline/v1/incidents")["incidents"][0].clone();
    asked_within(|| incident()["entities"][0].as_str().map(String::from), &Some("web".into()));
    let id = incident()["id"].as_str().expect("an id").to_string();
    let page = || server.get(&format!("/api/faultline/v1/incidents/{id}"));
    asked_within(|| page()["verdict"]["unknown"].clone(), &true.into());
    let why = server.why();
    for line in
        ["OWNER\nowner      shop\nrunbook    https://wiki.example/page\n", "CHECK NEXT, most telling first\n1  "]
    {
        assert!(why.contains(line), "{why}");
    }

    let answer = close(&server, &[&id, "--cause", "b", "--by", "night shift"]);
    assert!(answer.status.success(), "{}", said(&answer.stderr));
    assert!(said(&answer.stdout).contains("is closed, its cause b"), "{}", said(&answer.stdout));
    for (words, problem) in [
        (&["0/999999.0", "--cause", "b"][..], "0/999999.0"),
        (&["nonsense", "--cause", "b"], "incident"),
        (&[&id, "--cause", ""], "cause"),
    ] {
        let answer = close(&server, words);
        assert!(!answer.status.success() && said(&answer.stderr).contains(problem), "{words:?}: {answer:?}");
    }
    assert!(server.why().contains(", closed by night shift: the cause was b\n"), "{}", server.why());
    // What it taught is learned beside detection, and comes back as a record.
    let learned = |said: String| said.contains("1 times again from closed incidents");
    asked_within(|| learned(server.verify()), &true);
    assert!(learned(server.stop_and_verify()));
}
