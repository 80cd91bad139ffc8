//! Standard metrics of what a container or a process uses: which series they are, what each says, and of whom.
//!
//! Read are cAdvisor's and kube-state-metrics' series, OpenTelemetry's of its kubelet and cluster receivers and of processes under
//! their Prometheus names, and those that Prometheus' client libraries expose of their own process.
//! Sources: Kubernetes, "Metrics for Kubernetes Object States" and kubelet's `/metrics/cadvisor`; OpenTelemetry, "Semantic
//! conventions for K8s metrics" and "... for OS process metrics"; Prometheus, "Writing client libraries", section "Standard and runtime collectors".
use alloc::string::String;
use faultline_model::facts::Resource;
use faultline_model::{Labels, canonical_enum, labels::NAME};

/// How a series tells of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Each sample is what is used.
    Gauge,
    /// It counts up; the rise by the second is what is used.
    Rate,
    /// It counts up; the rise is what happened.
    Count,
    /// The most that may be used.
    Limit,
}
canonical_enum!(Form { Gauge = 0, Rate = 1, Count = 2, Limit = 3 });

const NAMES: [(&str, Resource, Form); 20] = [
    ("container_cpu_usage_seconds_total", Resource::Cpu, Form::Rate),
    ("container_cpu_cfs_throttled_seconds_total", Resource::Throttled, Form::Rate),
    ("container_memory_working_set_bytes", Resource::Memory, Form::Gauge),
    ("container_spec_memory_limit_bytes", Resource::Memory, Form::Limit),
    ("kube_pod_container_resource_limits", Resource::Cpu, Form::Limit),
    ("kube_pod_container_status_restarts_total", Resource::Restarts, Form::Count),
    ("container_cpu_usage", Resource::Cpu, Form::Gauge),
    ("k8s_pod_cpu_usage", Resource::Cpu, Form::Gauge),
    ("k8s_container_cpu_limit", Resource::Cpu, Form::Limit),
    ("k8s_pod_cpu_limit_utilization_ratio", Resource::CpuShare, Form::Gauge),
    ("k8s_container_cpu_limit_utilization_ratio", Resource::CpuShare, Form::Gauge),
    ("k8s_pod_memory_working_set_bytes", Resource::Memory, Form::Gauge),
    ("k8s_container_memory_limit_bytes", Resource::Memory, Form::Limit),
    ("k8s_pod_memory_limit_utilization_ratio", Resource::MemoryShare, Form::Gauge),
    ("k8s_container_memory_limit_utilization_ratio", Resource::MemoryShare, Form::Gauge),
    ("k8s_container_restarts", Resource::Restarts, Form::Count),
    ("process_cpu_seconds_total", Resource::Cpu, Form::Rate),
    ("process_resident_memory_bytes", Resource::Memory, Form::Gauge),
    ("process_cpu_utilization_ratio", Resource::CpuShare, Form::Gauge),
    ("process_memory_usage_bytes", Resource::Memory, Form::Gauge),
];

/// How many of [`NAMES`] engine version 9 read.
const NAMES_9: usize = 18;

/// Labels that name a service or a workload outright, best first.
const OWNERS: [&str; 6] = [
    "service_name",
    "k8s_deployment_name",
    "k8s_statefulset_name",
    "k8s_daemonset_name",
    "deployment",
    "container_label_com_docker_compose_service",
];
const PODS: [&str; 3] = ["pod", "k8s_pod_name", "pod_name"];
const CONTAINERS: [&str; 3] = ["container", "k8s_container_name", "container_name"];

/// What a series says.
#[derive(Clone, Debug, PartialEq)]
pub struct Told<'a> {
    /// Of which resource.
    pub resource: Resource,
    /// How.
    pub form: Form,
    /// Names that its service may have, best first; at least one is not empty.
    pub owners: [&'a str; 4],
    /// Whether it is a service's only where one of that name is known otherwise: a process may be anything.
    pub known_only: bool,
    /// The instance.
    pub instance: String,
    /// Whether engine version 9 passed it over.
    pub since_10: bool,
}

/// Whether a metric of this name may be one of them: asked once per series, when it is first seen.
pub fn is_standard(name: &str) -> bool {
    NAMES.iter().any(|(standard, ..)| *standard == name)
}

/// What a series says; none where it is no such metric, names nobody, or is a sum of others.
pub fn told(labels: &Labels) -> Option<Told<'_>> {
    let name = labels.get(NAME);
    let place = NAMES.iter().position(|(standard, ..)| *standard == name)?;
    let (_, mut resource, form) = NAMES[place];
    if name == "kube_pod_container_resource_limits" {
        resource = match labels.get("resource") {
            "cpu" => Resource::Cpu,
            "memory" => Resource::Memory,
            _ => return None,
        };
    }
    // cAdvisor tells of each processor and of all, of each container, of the pod around them and of what holds the pod's network.
    let part = !matches!(labels.get("cpu"), "" | "total");
    let (pod, container) = (first(labels, &PODS), first(labels, &CONTAINERS));
    let around = name.starts_with("container_") && !pod.is_empty() && container.is_empty();
    if part || around || container == "POD" {
        return None;
    }
    let of_process = name.starts_with("process_");
    let job = labels.get("job");
    let job = if of_process { job.rsplit('/').next().unwrap_or(job) } else { "" };
    let owners = [first(labels, &OWNERS), workload(pod), container, job];
    if owners.iter().all(|owner| owner.is_empty()) {
        return None;
    }
    let instance = match (pod, container) {
        ("", "") => String::from(labels.get("instance")),
        (pod, "") => String::from(pod),
        ("", container) => String::from(container),
        (pod, container) => alloc::format!("{pod}/{container}"),
    };
    Some(Told { resource, form, owners, known_only: of_process, instance, since_10: place >= NAMES_9 })
}

fn first<'a>(labels: &'a Labels, names: &[&str]) -> &'a str {
    names.iter().map(|name| labels.get(name)).find(|value| !value.is_empty()).unwrap_or("")
}

/// The workload that a pod is of, by how Kubernetes names pods: a Deployment's end in the hash of their template and five random
/// characters, others' in these alone, a StatefulSet's in a number.
fn workload(pod: &str) -> &str {
    // What Kubernetes draws from: no vowels, nothing that looks like another (apimachinery, `util/rand`).
    let drawn = |text: &str| text.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte));
    let random = |last: &str| last.len() == 5 && drawn(last);
    let hash = |last: &str| (6..=10).contains(&last.len()) && drawn(last);
    let number = |last: &str| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    let without = |text: &'_ str, fits: &dyn Fn(&str) -> bool| {
        text.rsplit_once('-').filter(|(rest, last)| !rest.is_empty() && fits(last)).map(|(rest, _)| rest.len())
    };
    match without(pod, &random) {
        Some(at) => &pod[..without(&pod[..at], &hash).unwrap_or(at)],
        None => &pod[..without(pod, &number).unwrap_or(pod.len())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_of_its_workload() {
        for (pod, expected) in [
            ("cart-service-866bd68c97-xcqfx", "cart-service"),
            ("web-b6c59fb57-zv8dt", "web"),
            ("agent-zv8dt", "agent"),
            ("db-0", "db"),
            ("db-main-12", "db-main"),
            ("alone", "alone"),
            ("with-vowels-aeiou", "with-vowels-aeiou"),
            ("-zv8dt", "-zv8dt"),
            ("", ""),
        ] {
            assert_eq!(workload(pod), expected, "{pod}");
        }
    }

    #[test]
    fn labels_say_of_whom_and_what() {
        use Form::*;
        use Resource::*;
        let pod = ("pod", "cart-866bd68c97-xcqfx");
        for (pairs, expected) in [
            (
                &[("__name__", "container_cpu_usage_seconds_total"), pod, ("container", "server"), ("cpu", "total")][..],
                Some((Cpu, Rate, ["", "cart", "server", ""], "cart-866bd68c97-xcqfx/server")),
            ),
            (
                &[
                    ("__name__", "kube_pod_container_resource_limits"),
                    pod,
                    ("container", "server"),
                    ("resource", "memory"),
                ],
                Some((Memory, Limit, ["", "cart", "server", ""], "cart-866bd68c97-xcqfx/server")),
            ),
            (
                &[
                    ("__name__", "k8s_pod_cpu_limit_utilization_ratio"),
                    ("k8s_pod_name", "db-0"),
                    ("service_name", "store"),
                ],
                Some((CpuShare, Gauge, ["store", "db", "", ""], "db-0")),
            ),
            (
                &[("__name__", "process_cpu_seconds_total"), ("job", "shop/cart"), ("instance", "10.0.0.1:80")],
                Some((Cpu, Rate, ["", "", "", "cart"], "10.0.0.1:80")),
            ),
            (
                &[("__name__", "process_memory_usage_bytes"), ("job", "cart"), ("instance", "cart-0")],
                Some((Memory, Gauge, ["", "", "", "cart"], "cart-0")),
            ),
            // One processor of several; the pod around its containers; what holds its network; nobody; no resource; another metric.
            (
                &[("__name__", "container_cpu_usage_seconds_total"), pod, ("container", "server"), ("cpu", "cpu01")],
                None,
            ),
            (&[("__name__", "container_memory_working_set_bytes"), pod], None),
            (&[("__name__", "container_memory_working_set_bytes"), pod, ("container", "POD")], None),
            (&[("__name__", "container_memory_working_set_bytes"), ("id", "/")], None),
            (&[("__name__", "kube_pod_container_resource_limits"), pod, ("resource", "pods")], None),
            (&[("__name__", "up"), pod], None),
        ] {
            let labels = Labels::new(pairs.iter().copied());
            let read = told(&labels);
            let read = read.as_ref().map(|it| (it.resource, it.form, it.owners, &*it.instance));
            assert_eq!(read, expected, "{labels:?}");
            assert!(expected.is_none() || is_standard(labels.get(NAME)));
        }
    }
}
