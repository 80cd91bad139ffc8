//! Templates of labels and annotations: read and expanded.
use crate::Target;
use crate::small::NOW;
use faultline_model::Labels;
use faultline_rules::{Context, Template};

/// The target.
pub const TARGET: Target = Target { name: "template", size_max: 1 << 10, run, seeds };

/// Longest text of an expansion, with room for the words around an error.
const SIZE_MAX: usize = 80 << 10;

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(template) = Template::parse("A", text) else { return };
    let labels = Labels::new([("i", "0"), ("service", "pay<&>\"\n")]);
    let expand = || {
        let mut query = |text: &str| match text {
            "bad" => Err("no".to_string()),
            _ => Ok(vec![(labels.clone(), 1.5), (Labels::new([("__value__", text)]), f64::NAN)]),
        };
        let mut context =
            Context { at: NOW, external_labels: &labels, external_url: "http://fl.example:7400", query: &mut query };
        template.expand(&labels, &0.25.into(), &mut context)
    };
    let expanded = expand();
    assert!(expanded.len() <= SIZE_MAX, "{} bytes", expanded.len());
    assert_eq!(expand(), expanded, "the same template expands the same");
    if template.is_constant() {
        assert_eq!(expanded, text);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "plain",
        "{{ $labels.i }} is {{ $value | humanize }} on {{ $externalURL }}",
        "{{ range query \"a\" | sortByLabel \"i\" }}{{ .Labels.i }}={{ .Value }}{{ else }}none{{ end }}",
        "{{ if and (gt $value 0.1) (not (eq $labels.i \"1\")) }}y{{ else if true }}n{{ end }}",
        "{{ define \"t\" }}{{ . }}{{ end }}{{ template \"t\" $value }}",
        "{{ with $x := 1.5 }}{{ printf \"%-8.3f|%q|%v|%x\" $x $labels.service $labels 255 }}{{ end }}",
        "{{ reReplaceAll \"(.)\" \"$1$1\" $labels.service | toUpper | title }}",
        "{{ humanizeDuration 86400 }} {{ humanize1024 1e10 }} {{ humanizePercentage 0.1 }} {{ humanizeTimestamp 1.7e9 }}",
        "{{- /* c */ -}} {{ index (query \"a\") 0 }} {{ len (query \"b\") }} {{ slice \"abc\" 1 2 }}",
        "{{ args 1 2 | print }} {{ query \"bad\" | first | value }} {{ parseDuration \"1h\" }} {{ toTime 0 }}",
        "{{ urlquery \"a b\" }} {{ html $labels.service }} {{ stripPort \"a:1\" }} {{ tableLink \"a\" }} {{ graphLink \"a\" }}",
        "{{ range $i, $e := query \"a\" }}{{ if $i }}{{ break }}{{ end }}{{ continue }}{{ end }}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
