//! What `cargo metadata` says about the workspace: its crates, where they lie, what they name.

use std::path::PathBuf;

use serde_json::Value;

use crate::stages;

/// When a dependency is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In every build, build scripts included.
    Always,
    /// In tests, examples and benches alone.
    Tests,
}

/// One crate of ours.
#[derive(Clone, Debug, Default)]
pub struct Package {
    pub name: String,
    /// From the root, with `/`: `core/model`.
    pub folder: String,
    /// Names as published, not as renamed.
    pub dependencies: Vec<(String, When)>,
}

/// All crates of ours.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    pub root: PathBuf,
    pub packages: Vec<Package>,
}

/// The workspace that this program was built in.
pub fn here() -> Result<Workspace, String> {
    parse(&metadata(&["--no-deps"])?)
}

/// `cargo metadata` with `options`, as JSON; exactly the locked versions.
pub fn metadata(options: &[&str]) -> Result<Value, String> {
    let mut command = stages::cargo(&std::env::current_dir().map_err(|error| format!("no current folder: {error}"))?);
    command.args(["metadata", "--format-version", "1", "--locked"]).args(options);
    let output = command.output().map_err(|error| format!("cargo could not be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("`cargo metadata --locked` refused:\n{}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("`cargo metadata` printed something else than JSON: {error}"))
}

fn parse(metadata: &Value) -> Result<Workspace, String> {
    let text = |value: &Value, key: &str| {
        value[key].as_str().map(String::from).ok_or_else(|| format!("`cargo metadata` gives no `{key}`"))
    };
    let root = text(metadata, "workspace_root")?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut packages = Vec::new();
    for package in list(&metadata["packages"]) {
        let manifest = text(&package, "manifest_path")?;
        let folder = manifest.strip_prefix(&root).and_then(|path| path.strip_suffix("Cargo.toml"));
        let folder =
            folder.ok_or_else(|| format!("{manifest} lies outside of the workspace"))?.trim_matches('/').to_string();
        let mut dependencies = Vec::new();
        for dependency in list(&package["dependencies"]) {
            let when = if dependency["kind"] == "dev" { When::Tests } else { When::Always };
            dependencies.push((text(&dependency, "name")?, when));
        }
        packages.push(Package { name: text(&package, "name")?, folder, dependencies });
    }
    packages.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(Workspace { root: root.into(), packages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_kinds_are_read_from_metadata() {
        let metadata = serde_json::json!({
            "workspace_root": "/w",
            "packages": [{ "name": "faultline-b", "manifest_path": "/w/core/b/Cargo.toml", "dependencies": [
                { "name": "libm", "kind": null },
                { "name": "cc", "kind": "build" },
                { "name": "proptest", "kind": "dev" },
            ]}],
        });
        let workspace = parse(&metadata).unwrap();
        assert_eq!(
            (workspace.packages[0].name.as_str(), workspace.packages[0].folder.as_str()),
            ("faultline-b", "core/b")
        );
        let expected = [("libm", When::Always), ("cc", When::Always), ("proptest", When::Tests)];
        assert_eq!(workspace.packages[0].dependencies, expected.map(|(name, when)| (name.to_string(), when)));
        assert!(parse(&serde_json::json!({})).unwrap_err().contains("workspace_root"));
    }

    #[test]
    fn this_workspace_is_found() {
        let workspace = here().unwrap();
        assert!(workspace.packages.iter().any(|package| package.name == "xtask" && package.folder == "xtask"));
    }
}
