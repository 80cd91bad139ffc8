//! Calls that nobody measures, as somebody declared them: a setting, one `caller -> callee` a line.
use super::Graph;
use super::limits::{DECLARED, DECLARED_SIZE};
use alloc::string::String;
use alloc::vec::Vec;
use faultline_model::Millis;

/// What stands between caller and callee.
const CALLS: &str = " -> ";

impl Graph {
    /// Puts these calls in place of those declared before, at rule time `now`. What is measured of a call stays.
    ///
    /// - `text`: one `caller -> callee` a line; lines without anything are passed over.
    ///
    /// Refuses, with the reason, a text that is too long, a line that is no call, and what there is no room for: then nothing changes
    /// but that services may have become known.
    pub fn declare(&mut self, text: &str, now: Millis) -> Result<(), &'static str> {
        if text.len() > DECLARED_SIZE {
            return Err("more than 1 MiB of declared calls");
        }
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.len() > DECLARED {
            return Err("more than 10,000 declared calls");
        }
        let mut calls = Vec::new();
        for line in lines {
            let (client, server) = line.split_once(CALLS).ok_or("a declared call is written `caller -> callee`")?;
            let mut find = |name: &str| self.services.find_or_insert(name.trim(), now);
            let ends = (find(client), find(server));
            let (Some(client), Some(server)) = ends else {
                return Err("no room for a service of a declared call, or no name");
            };
            calls.push((client, server));
        }
        let mut declared = Vec::new();
        for (client, server) in calls {
            let ends = (client, server, false);
            let edge = self.edges.find_or_insert(ends, now, &self.services, &mut self.blocks);
            declared.push(edge.ok_or("no room for a declared call")?);
        }
        let before: Vec<u32> = self.edges.iter().filter(|(_, edge)| edge.declared).map(|(id, _)| id).collect();
        for id in before {
            self.edges.get_mut(id).declared = false;
        }
        for id in declared {
            let edge = self.edges.get_mut(id);
            (edge.declared, edge.used) = (true, now);
        }
        self.begin(now);
        Ok(())
    }

    /// The calls declared, as [`Graph::declare`] takes them, in name order; `""` where there are none.
    pub fn declared(&self) -> String {
        let name = |id: u32| self.services.get(id).entity.as_str();
        let declared = self.edges.iter().map(|(_, edge)| edge).filter(|edge| edge.declared);
        let mut lines: Vec<String> =
            declared.map(|edge| [name(edge.client), CALLS, name(edge.server)].concat()).collect();
        lines.sort();
        lines.join("\n")
    }
}
