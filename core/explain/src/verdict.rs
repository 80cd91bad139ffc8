//! The verdict: causes with what each rests on, the sentence for the person who was paged, and what was not seen.
use crate::build::{fault_nats, logged, own_nats, parts_of_trouble, prior, recent_change};
use crate::channels::{Channels, FAR, LOGS, OWN_ERRORS, RESOURCE, SELF_TIME, STOPPED, Signs, Symptom, WITHHELD};
use crate::checks::checks;
use crate::clean::Scene;
use crate::config::{BELIEF_MIN, BELIEF_SURE, CAUSES_MAX, EVIDENCE_MIN, HOST_PIECES, HOST_PRIOR, LINK_PRIOR, MARGIN};
use crate::flow::Flows;
use crate::infer::Answer;
use crate::likelihood::logit;
use crate::model::Role;
use crate::rank::Candidate;
use crate::reliability;
use crate::strengths;
use crate::what_if::what_ifs;
use crate::words;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use faultline_model::facts::{Cause, Contribution, Evidence, PathStep, Reliability, Verdict};
use faultline_model::float;

/// The kind of a cause that is no service but what several run on.
const HOST: &str = "host";
/// Causes with less belief than this are not worth a line.
const POSTERIOR_MIN: f64 = 0.01;

/// Writes the verdict.
pub(crate) fn verdict(
    evidence: &Evidence,
    scene: &Scene,
    channels: &Channels,
    flows: &Flows,
    answer: &Answer,
    ranking: &[Candidate],
) -> Verdict {
    // Before anything else is asked: the tree still stands as the evidence left it.
    let learns = evidence.model >= strengths::MODEL;
    let passed = if learns { strengths::seen(scene, channels, flows, answer) } else { Vec::new() };
    let court = Court { scene, channels, flows, answer };
    let heard: Vec<Heard> = ranking
        .iter()
        .enumerate()
        .take(CAUSES_MAX)
        .filter(|(place, candidate)| *place == 0 || candidate.posterior >= POSTERIOR_MIN)
        .map(|(_, candidate)| court.hear(candidate))
        .collect();
    let doubt = doubt(scene, &heard);
    let unknown = doubt.is_some();
    let ahead = scene.looks_ahead && !ranking.is_empty();
    let first = heard.first().filter(|_| evidence.model >= reliability::MODEL && doubt.is_none());
    let reliability = first
        .map(|first| Box::new(reliability::reliability(first.cause.posterior, &evidence.reliability, evidence.model)));
    let what_ifs = if ahead { what_ifs(scene, answer, ranking) } else { Some(Vec::new()) };
    let mut method = court.method();
    if what_ifs.is_none() {
        method.push_str("; too large to say what would be without a cause");
    }
    Verdict {
        incident: evidence.incident,
        revision: evidence.revision,
        at: evidence.at,
        unknown,
        calibrated: reliability.as_deref().is_some_and(reliability::is_enough),
        summary: doubt.unwrap_or_else(|| court.summary(&heard[0], reliability.as_deref())),
        why_not_second: if heard.len() > 1 { court.why_not(&heard[0], &heard[1]) } else { String::new() },
        method,
        unseen: unseen(evidence, scene),
        what_ifs: what_ifs.unwrap_or_default(),
        checks: if ahead { checks(scene, answer, ranking) } else { Vec::new() },
        causes: heard.into_iter().map(|heard| heard.cause).collect(),
        reliability,
        // What a doubtful verdict believes of calls, nobody will confirm.
        passed: if unknown { Vec::new() } else { passed },
    }
}

/// One candidate with what was said about it.
struct Heard<'a> {
    candidate: &'a Candidate,
    cause: Cause,
    pieces: Vec<Piece>,
    /// What was measured that speaks for it, in nats: neither its place nor what is known of it beforehand.
    evidence: f64,
}

/// One piece of evidence: what it adds now, and the evidence on which variables would change without it.
struct Piece {
    what: String,
    nats: f64,
    without: Vec<(usize, f64)>,
    /// Whether the service shows it by itself.
    own: bool,
}

struct Court<'a, 'c> {
    scene: &'a Scene<'a>,
    channels: &'a Channels,
    flows: &'a Flows,
    answer: &'a Answer<'c>,
}

impl Court<'_, '_> {
    fn hear<'a>(&self, candidate: &'a Candidate) -> Heard<'a> {
        let model = self.answer.model;
        let (entity, kind, onset, base, mut pieces) = match model.vars[candidate.var].role {
            Role::Link(edge) => {
                let what = words::own(self.scene, self.scene.edges[edge].server, FAR);
                let pieces = Vec::from([Piece {
                    what,
                    nats: model.vars[candidate.var].nats,
                    without: Vec::from([(candidate.var, 0.0)]),
                    own: true,
                }]);
                (words::way(self.scene, edge), "slow", None, logit(LINK_PRIOR), pieces)
            }
            Role::Host(host) => {
                let services = self.scene.hosts[host].services.iter();
                let onset = services.filter_map(|&node| self.scene.nodes[node].onset).min();
                let name = self.scene.hosts[host].name.to_string();
                (name, HOST, onset, logit(HOST_PRIOR), self.shared(host))
            }
            Role::Fault(node) | Role::Trouble(node) | Role::Degraded(node) | Role::Lost(node) => {
                let it = &self.scene.nodes[node];
                (
                    it.name.to_string(),
                    self.kind(node),
                    it.onset,
                    prior(self.scene, node)[0],
                    self.pieces(candidate.var, node),
                )
            }
        };
        let evidence = pieces.iter().filter(|piece| !piece.without.is_empty()).map(|piece| piece.nats).sum();
        let rest = logit(candidate.posterior) - base - pieces.iter().map(|piece| piece.nats).sum::<f64>();
        pieces.push(Piece { what: self.standing(candidate), nats: rest, without: Vec::new(), own: false });
        pieces.sort_by(|a, b| float::order(b.nats, a.nats));
        let told = pieces.iter().filter(|piece| piece.nats != 0.0);
        let cause = Cause {
            entity,
            kind: kind.to_string(),
            posterior: candidate.posterior,
            responsibility: candidate.responsibility,
            share: candidate.share,
            onset,
            path: self.path(candidate),
            evidence: told.map(|piece| Contribution { what: piece.what.clone(), nats: piece.nats }).collect(),
        };
        Heard { candidate, cause, pieces, evidence }
    }

    /// What each service that runs on a host says of it: what would be without what it shows of itself.
    fn shared(&self, host: usize) -> Vec<Piece> {
        let model = self.answer.model;
        let Some(var) = model.find(Role::Host(host)) else { return Vec::new() };
        let services = self.scene.hosts[host].services.iter();
        let mut services: Vec<(usize, usize)> =
            services.filter_map(|&node| Some((node, model.find(Role::Trouble(node))?))).collect();
        // The loudest are told.
        services.sort_by(|a, b| float::order(float::abs(model.vars[b.1].nats), float::abs(model.vars[a.1].nats)));
        services.truncate(HOST_PIECES);
        let piece = |(node, at): (usize, usize)| {
            let without = Vec::from([(at, 0.0)]);
            let nats = logit(self.answer.posteriors[var]) - logit(self.answer.with(&without)[var]);
            let own = own_nats(&self.channels.nodes[node], &self.flows.calls[node]);
            let loudest = (0..own.len()).fold(0, |best, kind| if own[kind] > own[best] { kind } else { best });
            let name = self.scene.nodes[node].name;
            let what = if own[loudest] > 0.0 {
                format!("on it {name}: {}", words::own(self.scene, node, loudest))
            } else {
                format!("on it {name}: nothing of its own is off")
            };
            Piece { what, nats, without, own: true }
        };
        services.into_iter().map(piece).collect()
    }

    /// Everything measured that bears on a service's own fault. With the prior's rate and [`Court::standing`] it adds up to the log-odds.
    fn pieces(&self, var: usize, node: usize) -> Vec<Piece> {
        let (scene, signs, calls) = (self.scene, &self.channels.nodes[node], &self.flows.calls[node]);
        let model = self.answer.model;
        // Where a host may be at fault, too, what a service shows of itself is evidence on either.
        let shown = model.find(Role::Trouble(node)).unwrap_or(var);
        let whole = if shown == var { model.vars[var].nats } else { model.vars[shown].nats + model.vars[var].nats };
        let taught = scene.taught.nats(node);
        let (total, kinds) = fault_nats(signs, calls);
        let own = own_nats(signs, calls);
        let mut pieces = Vec::new();
        let mut named = 0.0;
        for (kind, &sign) in own.iter().enumerate() {
            let nats = match kinds.get(kind) {
                _ if kind == LOGS && !signs.first => logged(sign),
                Some(likely) => likely * sign,
                None => 0.0,
            };
            if nats == 0.0 {
                continue;
            }
            named += nats;
            let mut without = Signs { own: signs.own, first: signs.first, ..Signs::default() };
            without.own[kind] = None;
            let without = if shown == var {
                Vec::from([(var, fault_nats(&without, calls).0 + taught)])
            } else if kind == LOGS {
                Vec::from([(var, taught)])
            } else {
                Vec::from([(shown, parts_of_trouble(&without, calls).0)])
            };
            pieces.push(Piece { what: words::own(scene, node, kind), nats, without, own: true });
        }
        if total != named {
            pieces.push(Piece {
                what: "which kind of fault was open".to_string(),
                nats: total - named,
                without: Vec::new(),
                own: false,
            });
        }
        if taught != 0.0 {
            let without = Vec::from([(var, model.vars[var].nats - taught)]);
            pieces.push(Piece { what: scene.taught.said(node), nats: taught, without, own: true });
        }
        let [_, change, peer, history] = prior(scene, node);
        if history != 0.0 {
            let what = scene.taught.remembered(node);
            pieces.push(Piece { what, nats: history, without: Vec::new(), own: false });
        }
        if let Some((boost, event)) = recent_change(scene, node) {
            let onset = scene.nodes[node].onset.unwrap_or(scene.onset);
            let before = words::duration(onset.since(event.at).max(0));
            let what = format!("{} \"{}\" {before} before", event.kind, event.title);
            pieces.push(Piece {
                what,
                nats: change,
                without: Vec::from([(var, model.vars[var].nats - boost)]),
                own: false,
            });
        }
        if peer != 0.0 {
            pieces.push(Piece {
                what: "only its callers tell of it".to_string(),
                nats: peer,
                without: Vec::new(),
                own: false,
            });
        }
        if let Some(seen) =
            model.find(Role::Degraded(node)).filter(|&seen| !model.vars[seen].on && model.vars[seen].nats != 0.0)
        {
            let without = Vec::from([(seen, 0.0)]);
            let measured = model.vars[seen].nats;
            let graph = logit(self.answer.posteriors[var]) - prior(scene, node).iter().sum::<f64>() - whole;
            // What was measured on it is credited before its place is; where both do not speak for it, what would change without it.
            let nats = if measured > 0.0 && graph > 0.0 {
                float::min(measured, graph)
            } else {
                logit(self.answer.posteriors[var]) - logit(self.answer.with(&without)[var])
            };
            let alerted = !scene.first && model.targets.contains(&seen);
            let what = match strongest(signs) {
                _ if alerted => "an alert of it, whose trouble is not to be seen".to_string(),
                Some((symptom, _)) => words::degraded(scene, node, symptom),
                None => "what its callers see".to_string(),
            };
            // That there is an alert is why we were asked.
            let without = if alerted { Vec::new() } else { without };
            pieces.push(Piece { what, nats, without, own: false });
        }
        pieces
    }

    /// `slow`, `errors`, `stopped`, `resources` or `unspecified`: by its own signs, else by what is seen of it.
    fn kind(&self, node: usize) -> &'static str {
        let signs = &self.channels.nodes[node];
        let own = own_nats(signs, &self.flows.calls[node]);
        let words = [
            (SELF_TIME, "slow"),
            (FAR, "slow"),
            (OWN_ERRORS, "errors"),
            (STOPPED, "stopped"),
            (WITHHELD, "stopped"),
            (RESOURCE, "resources"),
        ];
        let best = words
            .iter()
            .fold((0.5, ""), |best, &(kind, word)| if own[kind] > best.0 { (own[kind], word) } else { best });
        match (best.1, strongest(signs)) {
            ("", Some((symptom, nats))) if nats > 0.5 => match symptom {
                Symptom::Slow | Symptom::CalledSlow => "slow",
                Symptom::Failing | Symptom::CalledFailing => "errors",
                Symptom::Unserved => "stopped",
            },
            ("", _) => "unspecified",
            (word, _) => word,
        }
    }

    /// Where a candidate stands: what its place in the graph adds or takes, given everything else that is known.
    fn standing(&self, candidate: &Candidate) -> String {
        let steps = self.path(candidate);
        match (steps.first(), steps.last()) {
            (Some(first), Some(last)) if first.explained > 0.0 => {
                let violated = if self.starts_at_server(candidate) { &first.server } else { &first.client };
                format!(
                    "its place: {} of what {violated} suffers comes through {} -> {}",
                    words::percent(first.explained),
                    last.client,
                    last.server
                )
            }
            (Some(_), _) => "its place among the others".to_string(),
            (None, _) if self.is_apart(candidate) => "its place: nobody knows what is called".to_string(),
            (None, _) if matches!(self.answer.model.vars[candidate.var].role, Role::Host(_)) => {
                "its place: the violated service runs on it".to_string()
            }
            (None, _) => "its place: it is the violated service".to_string(),
        }
    }

    /// Whether a candidate is linked to what it explains by time alone.
    fn is_apart(&self, candidate: &Candidate) -> bool {
        let is_seen = |&&at: &&usize| matches!(self.answer.model.vars[at].role, Role::Degraded(_) | Role::Lost(_));
        candidate.path.iter().filter(is_seen).count() > 1
    }

    /// Whether a path begins with traffic that stays away: then the callee is what is violated.
    fn starts_at_server(&self, candidate: &Candidate) -> bool {
        candidate.path.first().is_some_and(|&first| matches!(self.answer.model.vars[first].role, Role::Lost(_)))
    }

    fn path(&self, candidate: &Candidate) -> Vec<PathStep> {
        let model = self.answer.model;
        let arcs = candidate.path.windows(2).filter_map(|pair| {
            let arc = model.vars[pair[0]].causes.iter().find(|arc| arc.cause == pair[1])?;
            Some((arc, arc.edge?))
        });
        arcs.map(|(arc, edge)| {
            let call = &self.scene.edges[edge];
            let (client, server) = (&self.scene.nodes[call.client], &self.scene.nodes[call.server]);
            PathStep {
                client: client.name.to_string(),
                server: server.name.to_string(),
                explained: arc.share.unwrap_or(0.0),
                lag: client.onset.zip(server.onset).map(|(client, server)| client.since(server)),
            }
        })
        .collect()
    }

    /// The sentence for the person who was paged.
    ///
    /// - `reliability`: of its posterior.
    fn summary(&self, first: &Heard, reliability: Option<&Reliability>) -> String {
        let cause = &first.cause;
        let what = match &*cause.kind {
            "slow" => "is slow by itself",
            "errors" => "fails by itself",
            "stopped" => "no longer completes its work",
            _ => "is at fault",
        };
        let measured = || first.pieces.iter().filter(|piece| !piece.without.is_empty() && piece.nats > 0.0);
        let best = measured().find(|piece| piece.own && piece.nats >= EVIDENCE_MIN).or(measured().next());
        let best = best.map_or(String::new(), |piece| format!(": {}", piece.what));
        let reach = match cause.path.len() {
            0 if cause.kind == HOST => "what is violated runs on it".to_string(),
            0 if self.is_apart(first.candidate) => "nobody knows who calls it, but it began at that time".to_string(),
            0 => "nothing that it calls explains it".to_string(),
            steps => {
                let (step, calls) = (&cause.path[0], if steps == 1 { "call" } else { "calls" });
                let violated = if self.starts_at_server(first.candidate) { &step.server } else { &step.client };
                let mut services: Vec<&str> = self.scene.targets.iter().map(|&at| self.scene.nodes[at].name).collect();
                services.retain(|name| name != violated && *name != cause.entity);
                match services.len() {
                    0 => format!("{violated} suffers from it, {steps} {calls} away"),
                    more => format!("{violated} and {more} more suffer from it, {steps} {calls} away"),
                }
            }
        };
        let posterior = words::percent(cause.posterior);
        let trust = words::trust(reliability);
        let host = if cause.kind == HOST { "Host " } else { "" };
        format!("{host}{} {what}{best}; {reach} (posterior {posterior}, {trust}).", cause.entity)
    }

    /// The two pieces that set the first apart, and what would turn the order.
    fn why_not(&self, first: &Heard, second: &Heard) -> String {
        let mut pieces: Vec<(f64, &str, &str)> = Vec::new();
        pieces.extend(first.pieces.iter().map(|piece| (piece.nats, &*first.cause.entity, &*piece.what)));
        pieces.extend(second.pieces.iter().map(|piece| (-piece.nats, &*second.cause.entity, &*piece.what)));
        pieces.retain(|&(nats, ..)| nats > 0.0);
        pieces.sort_by(|a, b| float::order(b.0, a.0));
        let signed = |own: bool, nats: f64| {
            if own { format!("+{}", words::figure(nats)) } else { format!("-{}", words::figure(nats)) }
        };
        let told: Vec<String> = pieces
            .iter()
            .take(2)
            .map(|&(nats, entity, what)| format!("{entity}: {what} ({})", signed(entity == first.cause.entity, nats)))
            .collect();
        let turn = first.pieces.iter().filter(|piece| piece.nats > 0.0 && !piece.without.is_empty()).find(|piece| {
            let posteriors = self.answer.with(&piece.without);
            let led = |heard: &Heard| heard.candidate.responsibility_under(&posteriors);
            led(second) > led(first)
        });
        let turn = match turn {
            Some(piece) => format!("without \"{}\" {} would come first", piece.what, second.cause.entity),
            None => "no single piece of evidence turns the order".to_string(),
        };
        format!("{}; {turn}.", told.join("; "))
    }

    fn method(&self) -> String {
        let model = self.answer.model;
        let mut method = self.answer.method.clone();
        if model.left_out > 0 {
            method.push_str(&format!("; {} services left out", model.left_out));
        }
        method.push_str(&self.scene.habits.words());
        if !model.dropped.is_empty() {
            let calls: Vec<String> = model.dropped.iter().map(|&edge| words::way(self.scene, edge)).collect();
            method.push_str(&format!("; cycles opened at {}", words::names(calls.iter().map(|call| &**call))));
        }
        method
    }
}

/// The symptom that speaks most for being degraded.
fn strongest(signs: &Signs) -> Option<(Symptom, f64)> {
    signs.degraded.iter().copied().fold(None, |best, next| match best {
        Some((_, nats)) if nats >= next.1 => best,
        _ => Some(next),
    })
}

/// Why the first cause does not deserve belief, or nothing where it does.
fn doubt(scene: &Scene, heard: &[Heard]) -> Option<String> {
    let Some(first) = heard.first() else {
        return Some("Unknown: nothing is known that could have caused it.".to_string());
    };
    let (name, posterior) = (&first.cause.entity, first.cause.posterior);
    if first.cause.kind != HOST && scene.nodes.iter().any(|node| node.name == name && node.is_unheard_of()) {
        return Some(format!("Unknown: nothing is known of {name} but its alerts."));
    }
    if posterior < BELIEF_MIN {
        return Some(format!("Unknown: the best of the causes, {name}, reaches only {}.", words::percent(posterior)));
    }
    if first.evidence < EVIDENCE_MIN {
        return Some(format!("Unknown: nothing but its place speaks for {name}, the best of the causes."));
    }
    let second = heard.get(1)?;
    let close = posterior < BELIEF_SURE && posterior - second.cause.posterior < MARGIN;
    close.then(|| {
        let other = words::percent(second.cause.posterior);
        format!(
            "Unknown: {name} ({}) and {} ({other}) explain it about as well.",
            words::percent(posterior),
            second.cause.entity
        )
    })
}

/// What could not be seen, in words.
fn unseen(evidence: &Evidence, scene: &Scene) -> Vec<String> {
    let coverage = &evidence.coverage;
    let mut unseen = Vec::new();
    let unheard_of = |name: &&str| scene.nodes.iter().any(|node| node.name == *name && node.is_unheard_of());
    let (unheard, called): (Vec<&str>, Vec<&str>) =
        coverage.unseen.iter().map(|name| &**name).partition(|name| unheard_of(name));
    if !called.is_empty() {
        unseen.push(format!("seen by their callers only: {}", words::names(called.into_iter())));
    }
    if !unheard.is_empty() {
        unseen.push(format!("known by their alerts only: {}", words::names(unheard.into_iter())));
    }
    if !coverage.silent.is_empty() {
        let names = words::names(coverage.silent.iter().map(|name| &**name));
        unseen.push(format!("stopped sending: {names}"));
    }
    if coverage.unpaired.is_finite() && coverage.unpaired >= 0.01 {
        unseen.push(format!(
            "{} of the requests served came from callers that send no telemetry",
            words::percent(coverage.unpaired)
        ));
    }
    if coverage.sampled {
        unseen.push("traces are sampled: rates are unknown".to_string());
    }
    if coverage.left_out > 0 {
        unseen.push(format!("{} services further away were left out", coverage.left_out));
    }
    unseen
}
