//! `eval alerts`: rule files, input series that make each alert fire and resolve, and promtool beside us at every instant.
//!
//! A seed gives each rule drawings of input series, which its expression guides and nothing else; the first that makes its alert
//! fire and resolve counts. Our rules are evaluated over it as `faultline rules test` does, the whole file at once. What comes of it is written
//! as a unit test of promtool's: at each instant the alerts that fire, with labels and annotations, and the series `ALERTS` and
//! `ALERTS_FOR_STATE`, which tell pending from firing and since when. promtool must agree, and so must `faultline rules test`.
pub mod course;
pub mod drawing;
pub mod played;
pub mod promtool;
pub mod search;
pub mod subject;
pub mod word;

use crate::alerts::played::Played;
use crate::alerts::promtool::{Promtool, unit_test};
use crate::alerts::search::{Missed, find};
use clap::Args;
use faultline::render::table;
use faultline::rules::unit_test::run_file;
use faultline_model::RuleFile;
use faultline_model::facts::AlertState;
use faultline_promql::Features;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Options of `alerts`.
#[derive(Debug, Args)]
pub struct AlertsArgs {
    /// Every rule file (`*.yml`, `*.yaml`) in this folder and below.
    #[arg(long, value_name = "FOLDER")]
    pub data: PathBuf,
    /// So many seeds: each rule is made fire and resolve by each.
    #[arg(long, default_value_t = 1)]
    pub seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    pub first_seed: u64,
    /// Only rules whose file and name, with a colon between, hold this text.
    #[arg(long, value_name = "TEXT")]
    pub rule: Option<String>,
    /// Drawings of a seed before a rule is given up.
    #[arg(long, default_value_t = 4000)]
    pub tries: u32,
    /// Leaves the unit tests in this folder.
    #[arg(long, value_name = "FOLDER")]
    pub keep: Option<PathBuf>,
}

/// What has been compared.
#[derive(Debug, Default)]
pub struct Counts {
    /// Rule files, all loaded.
    pub files: u64,
    /// Alerting rules.
    pub rules: u64,
    /// Those made fire and resolve by every seed.
    pub resolved: u64,
    /// Unit tests, of one rule and seed each.
    pub plays: u64,
    /// Instants at which all of a file's alerts were compared.
    pub instants: u64,
    /// Changes of alerts in them, by the states before and after.
    pub transitions: BTreeMap<(AlertState, AlertState), u64>,
    /// Rules that some seed did not make fire and resolve.
    pub missed: Vec<(String, Missed)>,
    /// Unit tests that do not pass, with what is said.
    pub differ: Vec<String>,
}

/// Runs what is asked for and prints it; exit code 1 where anything differs.
pub fn run(args: &AlertsArgs) -> Result<ExitCode, Box<dyn Error>> {
    let began = Instant::now();
    let counts = compare(args)?;
    for difference in &counts.differ {
        println!("{difference}\n");
    }
    if !counts.missed.is_empty() {
        println!("not made fire and resolve:");
        counts.missed.iter().for_each(|(rule, why)| println!("  {rule}: {why}"));
        println!();
    }
    print!("{}", counts.table());
    println!("{:.1} s", began.elapsed().as_secs_f64());
    Ok(if counts.differ.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Makes every rule fire and resolve, and compares.
///
/// Fails where there is no rule file, where one does not load, and where promtool cannot be had.
pub fn compare(args: &AlertsArgs) -> Result<Counts, Box<dyn Error>> {
    let promtool = Promtool::install()?;
    let own = tempfile::tempdir()?;
    let folder = args.keep.as_deref().unwrap_or(own.path());
    fs::create_dir_all(folder)?;
    let data = args.data.canonicalize().map_err(|error| format!("cannot read {}: {error}", args.data.display()))?;
    let (mut counts, mut tests) = (Counts::default(), BTreeMap::new());
    let mut paths = Vec::new();
    rule_files(&data, &mut paths)?;
    if paths.is_empty() {
        return Err(format!("there is no rule file (*.yml, *.yaml) in {}", data.display()).into());
    }
    for path in paths {
        let text = fs::read_to_string(&path)?;
        let file = RuleFile { name: path.display().to_string(), text };
        let set = subject::load(&file)?;
        counts.files += 1;
        let short = path.strip_prefix(&data)?.display().to_string();
        for subject in subject::subjects(&set) {
            let name = format!("{short}:{}", subject.alert);
            if args.rule.as_ref().is_some_and(|text| !name.contains(&**text)) {
                continue;
            }
            counts.rules += 1;
            let mut missed = None;
            for seed in args.first_seed..args.first_seed + args.seeds {
                match find(&subject, &file, seed, args.tries) {
                    Ok(found) => {
                        let title = format!("{name} (rule {}) seed {seed} drawing {}", subject.number, found.tried);
                        let text = unit_test(&title, &path, &found.drawing, &found.played);
                        let test = folder.join(format!("{:05}.yml", tests.len()));
                        fs::write(&test, text)?;
                        counts.take(&found.played);
                        tests.insert(test, (name.clone(), title, seed));
                    }
                    Err(why) => missed = missed.max(Some(why)),
                }
            }
            match missed {
                None => counts.resolved += 1,
                Some(why) => counts.missed.push((name, why)),
            }
        }
    }
    let files: Vec<PathBuf> = tests.keys().cloned().collect();
    let mut said: Vec<(PathBuf, String)> = promtool.failing(&files)?;
    for file in &files {
        let words = match run_file(file, Features::default(), |_| true) {
            Ok(outcomes) => outcomes.into_iter().flat_map(|outcome| outcome.failures).collect::<Vec<_>>().join("\n"),
            Err(fault) => fault,
        };
        if !words.is_empty() {
            said.push((file.clone(), format!("faultline rules test says otherwise than its rules did:\n{words}")));
        }
    }
    for (file, words) in said {
        let (name, title, seed) = &tests[&file];
        let data = args.data.display();
        let words: String = words.chars().take(4000).collect();
        counts.differ.push(format!(
            "{title}\n{words}\nexp is ours, got is promtool's; to repeat: cargo xtask eval alerts --data {data} --rule {name:?} \
             --first-seed {seed} --keep FOLDER"
        ));
    }
    Ok(counts)
}

/// Rule files of a folder and those in it, by path.
fn rule_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            rule_files(&path, found)?;
        } else if path.extension().is_some_and(|it| it == "yml" || it == "yaml") {
            found.push(path);
        }
    }
    Ok(())
}

impl Counts {
    fn take(&mut self, played: &Played) {
        self.plays += 1;
        self.instants += played.instants.len() as u64;
        for it in &played.transitions {
            *self.transitions.entry((it.from, it.to)).or_default() += 1;
        }
    }

    /// So many changes of alerts.
    pub fn changes(&self) -> u64 {
        self.transitions.values().sum()
    }

    /// The figures.
    pub fn table(&self) -> String {
        let mut rows = vec![
            ("rule files, all loaded".to_string(), self.files),
            ("alerting rules".into(), self.rules),
            ("made fire and resolve".into(), self.resolved),
            ("unit tests (a rule and a seed each)".into(), self.plays),
            ("instants compared".into(), self.instants),
            ("transitions compared".into(), self.changes()),
        ];
        rows.extend(self.transitions.iter().map(|((from, to), n)| (format!("  {} to {}", from.word(), to.word()), *n)));
        rows.push(("unit tests that differ".into(), self.differ.len() as u64));
        table(
            &["WHAT", "COUNT"],
            &rows.into_iter().map(|(what, count)| vec![what, count.to_string()]).collect::<Vec<_>>(),
        )
    }
}
