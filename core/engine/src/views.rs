//! What one may see of the engine: copied out after a batch, so that readers never touch it.
use crate::engine::Engine;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use faultline_model::facts::Coverage;
use faultline_model::{Millis, RuleFiles};
use faultline_observe::replicas::{ReplicaCounts, ReplicaLabels};
use faultline_observe::ring::SampleCounts;
use faultline_observe::sources::Source;
use faultline_promql::{Matcher, SeriesView};
use faultline_rules::{Explained, GroupView};

/// A copy of what the engine knows, for the API.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Rule time.
    pub at: Millis,
    /// Rule groups with their alerts.
    pub groups: Vec<Arc<GroupView>>,
    /// Sources, in id order.
    pub sources: Vec<Source>,
    /// Services, peers included.
    pub services: u64,
    /// Calls between services.
    pub edges: u64,
    /// Series.
    pub series: u64,
    /// Samples since the journal began.
    pub samples: SampleCounts,
    /// Samples that came so late that instants were evaluated without them.
    pub late: u64,
    /// What became of samples that several servers send.
    pub replicas: ReplicaCounts,
    /// Clusters of such servers, each with the replica that is heard.
    pub elected: Vec<(String, String)>,
    /// Samples kept for rules, in all series together.
    pub held: u64,
    /// What a verdict taken now would lack.
    pub lacks: Coverage,
}

impl Engine {
    /// What the engine knows now.
    pub fn overview(&mut self) -> Overview {
        let sizes = self.graph.sizes();
        Overview {
            at: self.now,
            groups: self.judge.rules.shown(),
            sources: self.sources.iter().cloned().collect(),
            services: sizes.services as u64,
            edges: sizes.edges as u64,
            series: self.series.len() as u64,
            samples: self.series.counts(),
            late: self.revisions.late(),
            replicas: self.series.replicas().counts(),
            elected: self.series.replicas().elected().iter().map(|(a, b)| (a.to_string(), b.to_string())).collect(),
            held: self.series.held() as u64,
            lacks: self.graph.lacks(self.now),
        }
    }

    /// Every rule of a name, looked at closely now.
    ///
    /// - `asked`: which elements and series are told one by one.
    pub fn explain_rules(&mut self, name: &str, asked: &[Matcher]) -> Vec<Explained> {
        self.judge.explain(name, asked, self.now, &mut self.series, &self.sources)
    }

    /// The rule files in force.
    pub fn rule_files(&self) -> &RuleFiles {
        self.judge.rules.files()
    }

    /// The labels that tell servers of a cluster apart.
    pub fn replica_labels(&self) -> &ReplicaLabels {
        self.series.replicas().labels()
    }

    /// The calls declared, as the setting `graph.calls` has them.
    pub fn declared_calls(&self) -> String {
        self.graph.declared()
    }

    /// Visits every series with the samples kept of it, in id order: what the recent store begins with after a restart.
    pub fn each_series(&self, visit: &mut dyn FnMut(SeriesView<'_>)) {
        self.series.iter().for_each(visit);
    }
}
