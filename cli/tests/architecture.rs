//! The house's one rule: dependencies run one way, and the pure crates stay pure.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The names under `[dependencies]` of a crate's manifest.
fn dependencies(crate_folder: &str) -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join(crate_folder).join("Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("[dependencies]").unwrap();
    let section = rest.split("\n[").next().unwrap();
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| !name.is_empty() && !name.starts_with('#')).map(str::to_owned).collect()
}

/// The Rust files under a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn dependencies_run_one_way() {
    let order = [
        ("ledger/types", &[][..]),
        ("consensus", &["synod-types"][..]),
        ("vm", &["synod-types"]),
        ("ledger", &["synod-types", "synod-vm"]),
        ("node", &["synod-types", "synod-vm", "synod-consensus", "synod-ledger"]),
        ("testnet", &["synod-types", "synod-vm", "synod-consensus", "synod-ledger", "synod-node"]),
    ];
    for (folder, allowed) in order {
        for name in dependencies(folder).iter().filter(|name| name.starts_with("synod-")) {
            assert!(allowed.contains(&name.as_str()), "{folder} must not depend on {name}");
        }
    }
}

#[test]
fn the_pure_crates_see_no_runtime_no_network_and_no_store() {
    for folder in ["ledger/types", "consensus", "vm"] {
        for name in dependencies(folder) {
            let impure = ["tokio", "libp2p", "sled", "rand", "getrandom", "crossbeam-channel", "tracing"];
            assert!(!impure.contains(&name.as_str()), "{folder} must not depend on {name}");
        }
    }
}

#[test]
fn one_file_names_sled_and_one_folder_names_libp2p() {
    let mut files = Vec::new();
    for folder in
        ["ledger/src", "ledger/types/src", "node/src", "testnet/src", "cli/src", "vm/src", "consensus/src"]
    {
        sources(&root().join(folder), &mut files);
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        assert!(!code.contains("sled::") || name == "ledger/src/store.rs", "{name} names sled");
        assert!(!code.contains("libp2p::") || name.starts_with("node/src/network"), "{name} names libp2p");
    }
}
