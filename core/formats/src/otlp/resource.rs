//! A resource: where items come from, and what of it becomes labels.
use super::fault_reason;
use crate::any::{Any, Pair};
use crate::attributes::{Attributes, Checked};
use crate::events::Resource;
use crate::keys::Keys;
use crate::limits;
use crate::reject::{Reason, printable};
use crate::sink::text_in;
use crate::wire::{Fields, Malformed};
use alloc::string::String;
use faultline_model::LabelsBuilder;
use faultline_model::labels::NAME;

const SERVICE: &str = "service.name";
const NAMESPACE: &str = "service.namespace";
const INSTANCE: &str = "service.instance.id";

/// A resource as it stands on the wire, its identity picked out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    pub attributes: Attributes<'a>,
    service: Option<Any<'a>>,
    namespace: Option<Any<'a>>,
    instance: Option<Any<'a>>,
    version: Option<Any<'a>>,
    host: Option<Any<'a>>,
    node: Option<Any<'a>>,
    /// Attributes beyond the three that become `job` and `instance`.
    others: usize,
    /// An attribute that is itself called `job` or `instance`.
    named: bool,
}

impl Default for Origin<'_> {
    fn default() -> Self {
        let attributes = Attributes::new(&[], 1);
        Origin {
            attributes,
            service: None,
            namespace: None,
            instance: None,
            version: None,
            host: None,
            node: None,
            others: 0,
            named: false,
        }
    }
}

impl<'a> Origin<'a> {
    /// Reads a `Resource`; with it the reason for which none of its items can be taken, if there is one.
    pub fn read(message: &'a [u8]) -> Result<(Origin<'a>, Option<Reason>), Malformed> {
        let mut origin = Origin { attributes: Attributes::new(message, 1), ..Origin::default() };
        let mut fields = Fields::new(message);
        let mut before = message.len();
        while let Some((number, value)) = fields.next()? {
            let after = fields.left().len();
            if number == 1 {
                origin.attributes.note(before, after);
                origin.note(Pair::read(value.bytes()?)?);
            }
            before = after;
        }
        let identity = [origin.service, origin.namespace, origin.instance, origin.version];
        for any in identity.into_iter().flatten() {
            if any.size() > limits::VALUE_SIZE {
                return Ok((origin, Some(Reason::LabelTooLong)));
            }
            if let Err(fault) = any.check(0) {
                return Ok((origin, Some(fault_reason(fault)?)));
            }
        }
        Ok((origin, None))
    }

    fn note(&mut self, pair: Pair<'a>) {
        let slot = match pair.key {
            b"service.name" => &mut self.service,
            b"service.namespace" => &mut self.namespace,
            b"service.instance.id" => &mut self.instance,
            b"service.version" => return self.note_beside(pair, |origin| &mut origin.version),
            b"host.name" => return self.note_beside(pair, |origin| &mut origin.host),
            b"k8s.node.name" => return self.note_beside(pair, |origin| &mut origin.node),
            key => {
                self.others += 1;
                self.named |= matches!(key, b"job" | b"instance") && !text(pair.value).is_empty();
                return;
            }
        };
        // The first of a name counts, as it does for Prometheus; another one is an ordinary attribute to it.
        self.others += usize::from(slot.is_some());
        slot.get_or_insert(pair.value);
    }

    /// An attribute that is picked out and is an ordinary one, too.
    fn note_beside(&mut self, pair: Pair<'a>, slot: impl Fn(&mut Self) -> &mut Option<Any<'a>>) {
        self.others += 1;
        slot(self).get_or_insert(pair.value);
    }

    /// The resource for [`crate::Events`].
    pub fn resource(&self, plain: &[u8], keys: &Keys) -> Resource {
        let text = |any: Option<Any<'a>>| text_in(plain, any.and_then(Any::text).unwrap_or_default());
        // Who the sender is hangs on the others, which are checked; a host that is no text is none.
        let is_name = |any: &Any<'a>| any.size() <= limits::VALUE_SIZE && any.check(0).is_ok();
        Resource {
            key: self.attributes.hash(keys) as u64,
            service: text(self.service),
            instance: text(self.instance),
            namespace: text(self.namespace),
            version: text(self.version),
            // In a container the host's name is the container's: what the cluster calls the node comes first.
            host: text(self.node.or(self.host).filter(is_name)),
        }
    }

    /// Keyed hash of what the resource contributes to the labels of its points.
    pub fn identity(&self, keys: &mut Keys) -> u128 {
        let (job, instance) = (self.job(), self.instance());
        keys.parts(&[job.as_bytes(), instance.as_bytes()])
    }

    /// Bytes that the resource adds to the labels of each of its points.
    pub fn identity_size(&self) -> usize {
        self.job().len() + self.instance().len()
    }

    /// Sets `job` and `instance`.
    pub fn set_identity(&self, labels: &mut LabelsBuilder) {
        for (name, value) in [("job", self.job()), ("instance", self.instance())] {
            if !value.is_empty() {
                labels.set(name, &value);
            }
        }
    }

    /// Sets the labels of `target_info`.
    pub fn set_target_info(&self, labels: &mut LabelsBuilder) {
        self.attributes.set_labels(&[SERVICE, NAMESPACE, INSTANCE], labels);
        self.set_identity(labels);
        labels.set(NAME, "target_info");
    }

    /// Whether the resource has a `target_info`: something to tell, and a `job` or `instance` to tell it of.
    pub fn has_target_info(&self) -> bool {
        self.others > 0 && (self.named || !self.job().is_empty() || !self.instance().is_empty())
    }

    /// Whether its attributes can become labels.
    pub fn check(&self) -> Checked {
        self.attributes.check()
    }

    /// The service's name, fit for a reject's detail.
    pub fn printable(&self) -> String {
        printable(self.service.and_then(Any::text).unwrap_or_default())
    }

    fn job(&self) -> String {
        let mut job = String::new();
        if let Some(service) = self.service {
            if let Some(namespace) = self.namespace {
                namespace.append(&mut job);
                job.push('/');
            }
            service.append(&mut job);
        }
        job
    }

    fn instance(&self) -> String {
        self.instance.map_or(String::new(), text)
    }
}

/// The text of a value; none where it cannot be taken, which is found out elsewhere.
fn text(any: Any<'_>) -> String {
    let mut text = String::new();
    if any.check(0).is_ok() {
        any.append(&mut text);
    }
    text
}
