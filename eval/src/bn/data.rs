//! What a folder holds: networks in BIF with reference answers, or UAI instances with evidence and marginals.
//!
//! - `networks/<name>.bif[.zst]` and `reference/<name>.json[.zst]`: queries with evidence by name, marginals, `ln P(e)`.
//! - `<name>.uai[.zst]`, `<name>.uai.evid`, `<name>.uai.MAR`: one query each.
use crate::packed::text;
use faultline_bayes::{Evidence, FactorGraph, InferenceError, Network, Solver, Tree, VarId, bif, uai};
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::path::Path;

/// A network of either kind.
#[derive(Debug)]
pub enum Model {
    /// Directed.
    Bayes(Network),
    /// Undirected.
    Markov(FactorGraph),
}

/// A question, with the reference's answer.
#[derive(Debug)]
pub struct Query {
    /// Its number in the reference.
    pub id: u64,
    /// What is observed.
    pub evidence: Evidence,
    /// Per variable, in order.
    pub marginals: Vec<Vec<f64>>,
    /// Where the reference has it.
    pub log_evidence: Option<f64>,
}

/// A network and the questions to it.
#[derive(Debug)]
pub struct Case {
    /// Its file's name without the ending.
    pub name: String,
    /// The network.
    pub model: Model,
    /// At least one.
    pub queries: Vec<Query>,
}

impl Model {
    /// Number of variables.
    pub fn count(&self) -> usize {
        match self {
            Model::Bayes(network) => network.len(),
            Model::Markov(graph) => graph.len(),
        }
    }

    /// A variable's name: its number where it has none.
    pub fn name(&self, variable: VarId) -> String {
        match self {
            Model::Bayes(network) => network.name(variable).to_owned(),
            Model::Markov(_) => variable.index().to_string(),
        }
    }

    /// States of a variable.
    pub fn states(&self, variable: VarId) -> usize {
        match self {
            Model::Bayes(network) => network.states(variable).len(),
            Model::Markov(graph) => graph.states(variable),
        }
    }

    /// All variables, in order.
    pub fn variables(&self) -> impl Iterator<Item = VarId> + use<> {
        (0..self.count()).map(VarId::new)
    }

    /// Whatever method fits.
    pub fn solver(&self, bound: u64) -> Solver {
        match self {
            Model::Bayes(network) => Solver::new(network.clone(), bound),
            Model::Markov(graph) => Solver::of_graph(graph.clone(), bound),
        }
    }

    /// The junction tree.
    pub fn compile(&self, bound: u64) -> Result<Tree, InferenceError> {
        match self {
            Model::Bayes(network) => Tree::compile(network, bound),
            Model::Markov(graph) => graph.compile(bound),
        }
    }

    /// The junction tree with evidence built in.
    pub fn compile_given(&self, evidence: &Evidence, bound: u64) -> Result<Tree, InferenceError> {
        match self {
            Model::Bayes(network) => Tree::compile_given(network, evidence, bound),
            Model::Markov(graph) => graph.compile_given(evidence, bound),
        }
    }

    /// As `pyagrum.py` reads it.
    pub fn to_json(&self) -> Value {
        let cards: Vec<usize> = self.variables().map(|v| self.states(v)).collect();
        let factor = |scope: Vec<usize>, table: &[f64]| json!({"scope": scope, "table": table});
        let factors: Vec<Value> = match self {
            Model::Bayes(network) => network
                .variables()
                .map(|v| factor(network.parents(v).iter().chain([&v]).map(|v| v.index()).collect(), network.table(v)))
                .collect(),
            Model::Markov(graph) => {
                graph.factors().map(|(scope, table)| factor(scope.iter().map(|v| v.index()).collect(), table)).collect()
            }
        };
        json!({"bayes": matches!(self, Model::Bayes(_)), "cards": cards, "factors": factors})
    }
}

/// Names of the cases in a folder, ascending.
pub fn names(folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let (within, ending) =
        if folder.join("networks").is_dir() { (folder.join("networks"), ".bif") } else { (folder.into(), ".uai") };
    let mut names = Vec::new();
    for entry in fs::read_dir(&within).map_err(|error| format!("{}: {error}", within.display()))? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        names.extend(file.strip_suffix(".zst").unwrap_or(&file).strip_suffix(ending).map(str::to_owned));
    }
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Err(format!("{}: no networks/*.bif and no *.uai", folder.display()).into());
    }
    Ok(names)
}

/// Reads a case.
pub fn case(folder: &Path, name: &str) -> Result<Case, Box<dyn Error>> {
    let said =
        |error: Box<dyn Error>| -> Box<dyn Error> { format!("{name}: {}", faultline::render::chain(&*error)).into() };
    if folder.join("networks").is_dir() { bif_case(folder, name) } else { uai_case(folder, name) }.map_err(said)
}

fn bif_case(folder: &Path, name: &str) -> Result<Case, Box<dyn Error>> {
    let network = bif::parse(&text(&folder.join(format!("networks/{name}.bif")))?)?;
    let reference: Value = serde_json::from_str(&text(&folder.join(format!("reference/{name}.json")))?)?;
    let mut queries = Vec::new();
    for (at, query) in reference["queries"].as_array().ok_or("reference without queries")?.iter().enumerate() {
        let mut evidence = Evidence::new();
        for (variable, state) in query["evidence"].as_object().ok_or("query without evidence")? {
            let id = network.var(variable)?;
            evidence.observe(id, network.state(id, state.as_str().ok_or("a state's name")?)?);
        }
        let marginal = |v| numbers(&query["marginals"][network.name(v)]);
        let marginals = network.variables().map(marginal).collect::<Option<_>>().ok_or("a marginal is missing")?;
        let id = query["id"].as_u64().unwrap_or(at as u64);
        queries.push(Query { id, evidence, marginals, log_evidence: query["log_prob_evidence"].as_f64() });
    }
    Ok(Case { name: name.to_owned(), model: Model::Bayes(network), queries })
}

fn uai_case(folder: &Path, name: &str) -> Result<Case, Box<dyn Error>> {
    let file = |ending: &str| folder.join(format!("{name}.uai{ending}"));
    let model = match uai::parse(&text(&file(""))?)? {
        uai::Model::Bayes(network) => Model::Bayes(network),
        uai::Model::Markov(graph) => Model::Markov(graph),
    };
    let evidence = uai::parse_evidence(&text(&file(".evid"))?)?;
    let mut words = text(&file(".MAR"))?;
    words = words.trim_start_matches("MAR").to_owned();
    let mut numbers = words.split_ascii_whitespace();
    let mut next = || numbers.next().ok_or("the marginals end too soon");
    let count: usize = next()?.parse()?;
    let mut marginals = Vec::new();
    for _ in 0..count {
        let states: usize = next()?.parse()?;
        marginals.push((0..states).map(|_| Ok(next()?.parse()?)).collect::<Result<Vec<f64>, Box<dyn Error>>>()?);
    }
    if model.variables().map(|v| model.states(v)).ne(marginals.iter().map(Vec::len)) {
        return Err("the marginals are of other variables".into());
    }
    let queries = vec![Query { id: 0, evidence, marginals, log_evidence: None }];
    Ok(Case { name: name.to_owned(), model, queries })
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}
