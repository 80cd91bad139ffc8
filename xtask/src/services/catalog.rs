//! The services there are: where each comes from, and how its server is started.

/// Something that tests need and that is not ours.
pub struct Service {
    pub name: &'static str,
    pub version: &'static str,
    /// A few words for `list`.
    pub about: &'static str,
    pub install: Install,
    /// None for a library or a tool.
    pub server: Option<Server>,
}

/// How programs come onto the machine.
pub enum Install {
    /// Built from a module of the Go module proxy.
    Go {
        module: &'static str,
        tags: &'static str,
        /// Package within the module, and the program that it builds. One, since a second costs half a minute.
        program: (&'static str, &'static str),
        /// A file that the module embeds but does not contain: an empty one stands in.
        missing: Option<&'static str>,
        /// Whether it is compiled as its authors do. Without inlining the compiler has a third less to do: tests wait for these
        /// programs, but a measurement wants the real one.
        inlined: bool,
    },
    /// A virtual environment with these packages of PyPI at the service's version.
    Python {
        packages: &'static [&'static str],
        /// Whether only a measurement or a comparison on demand wants it.
        on_demand: bool,
    },
}

impl Install {
    /// Name of the program.
    pub fn program(&self) -> &'static str {
        match self {
            Install::Go { program: (_, name), .. } => name,
            Install::Python { .. } => "python",
        }
    }
}

/// How a server is started.
pub struct Server {
    /// `PORT` and `DIR` in them are replaced by the port on 127.0.0.1 and the folder of its files.
    pub arguments: &'static [&'static str],
    /// A configuration's file name in the folder, and what stands in it if the caller wrote none.
    pub configuration: Option<(&'static str, &'static str)>,
    /// Answers 200 to a GET as soon as the server can be used.
    pub ready: &'static str,
}

impl Service {
    /// Whether it is one that tests use, and `all` names: not those for measurements.
    pub fn is_for_tests(&self) -> bool {
        !matches!(self.install, Install::Go { inlined: true, .. } | Install::Python { on_demand: true, .. })
    }
}

/// How Prometheus is started.
const PROMETHEUS: Server = Server {
    arguments: &[
        "--config.file=DIR/prometheus.yml",
        "--storage.tsdb.path=DIR/prometheus-data",
        "--web.listen-address=127.0.0.1:PORT",
        "--web.external-url=http://127.0.0.1:PORT",
        "--web.enable-remote-write-receiver",
        "--web.enable-otlp-receiver",
        "--web.enable-lifecycle",
    ],
    configuration: Some(("prometheus.yml", "global:\n  scrape_interval: 1s\n")),
    ready: "/-/ready",
};

/// Every service, in the order of `list`.
pub const SERVICES: &[Service] = &[
    Service {
        name: "prometheus",
        version: "v0.315.0", // Prometheus 3.15 as a Go module.
        about: "Prometheus 3.15, without web pages and cloud discoveries",
        install: Install::Go {
            module: "github.com/prometheus/prometheus",
            tags: "remove_all_sd",
            program: ("./cmd/prometheus", "prometheus"),
            missing: None,
            inlined: false,
        },
        server: Some(PROMETHEUS),
    },
    Service {
        name: "prometheus-measured",
        version: "v0.315.0", // Prometheus 3.15 as a Go module.
        about: "the same, for measurements: compiled as its authors do",
        install: Install::Go {
            module: "github.com/prometheus/prometheus",
            tags: "remove_all_sd",
            program: ("./cmd/prometheus", "prometheus"),
            missing: None,
            inlined: true,
        },
        server: Some(PROMETHEUS),
    },
    Service {
        name: "promtool",
        version: "v0.315.0",
        about: "Prometheus 3.15's tool, which runs unit tests of rules",
        install: Install::Go {
            module: "github.com/prometheus/prometheus",
            tags: "remove_all_sd",
            program: ("./cmd/promtool", "promtool"),
            missing: None,
            inlined: false,
        },
        server: None,
    },
    Service {
        name: "alertmanager",
        version: "v0.34.2",
        about: "Alertmanager, alone (no cluster), without web pages",
        install: Install::Go {
            module: "github.com/prometheus/alertmanager",
            tags: "",
            program: ("./cmd/alertmanager", "alertmanager"),
            missing: Some("ui/app/dist/index.html"),
            inlined: false,
        },
        server: Some(Server {
            arguments: &[
                "--config.file=DIR/alertmanager.yml",
                "--storage.path=DIR/alertmanager-data",
                "--web.listen-address=127.0.0.1:PORT",
                "--web.external-url=http://127.0.0.1:PORT",
                "--cluster.listen-address=",
            ],
            configuration: Some(("alertmanager.yml", "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n")),
            ready: "/-/ready",
        }),
    },
    Service {
        name: "node-exporter",
        version: "v1.12.1",
        about: "this machine's metrics for Prometheus",
        install: Install::Go {
            module: "github.com/prometheus/node_exporter",
            tags: "",
            program: (".", "node_exporter"),
            missing: None,
            inlined: false,
        },
        server: Some(Server {
            arguments: &["--web.listen-address=127.0.0.1:PORT"],
            configuration: None,
            ready: "/metrics",
        }),
    },
    Service {
        name: "otel-python",
        version: "1.45.2",
        about: "OpenTelemetry SDK for Python with its OTLP exporters (gRPC and HTTP)",
        install: Install::Python { packages: &["opentelemetry-sdk", "opentelemetry-exporter-otlp"], on_demand: false },
        server: None,
    },
    Service {
        name: "pyagrum",
        version: "3.3.1",
        about: "exact inference in Bayesian networks, to compare with (`cargo xtask eval bn`)",
        install: Install::Python { packages: &["pyagrum"], on_demand: true },
        server: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_listens_on_loopback() {
        for service in SERVICES {
            let Some(server) = &service.server else { continue };
            assert!(server.arguments.contains(&"--web.listen-address=127.0.0.1:PORT"), "{}", service.name);
            if let Some((file, _)) = server.configuration {
                assert!(server.arguments.contains(&format!("--config.file=DIR/{file}").as_str()), "{}", service.name);
            }
        }
    }
}
