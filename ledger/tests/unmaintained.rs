//! STO-10: what sled 0.34 pulls in and nobody maintains is excused by name and with a reason, and comes with sled
//! alone: when sled leaves, so do the excuses.
#![allow(clippy::unwrap_used)]

use std::path::Path;

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap()
}

/// The packages of `Cargo.lock` that depend on this one, as it names it.
fn dependents(lock: &str, package: &str) -> Vec<String> {
    let needs = |entry: &&str| entry.lines().any(|line| line.trim_matches([' ', '"', ',']) == package);
    let name =
        |entry: &str| entry.lines().find_map(|line| line.strip_prefix("name = \"")).unwrap().to_owned();
    let entries = lock.split("[[package]]").skip(1).filter(needs);
    entries.map(|entry| name(entry).trim_matches('"').to_owned()).collect()
}

#[test]
fn sto_10_what_comes_with_sled_is_excused_by_name_and_comes_with_sled_alone() {
    let (lock, deny) = (text("Cargo.lock"), text("deny.toml"));
    let excuse = |advisory: &str, package: &str| {
        let line = deny.lines().find(|line| line.contains(advisory)).unwrap_or_default();
        assert!(
            line.contains("reason") && line.contains(package) && line.contains("sled"),
            "{advisory}: {line}"
        );
    };
    excuse("RUSTSEC-2025-0057", "fxhash");
    excuse("RUSTSEC-2024-0384", "instant");
    assert_eq!(dependents(&lock, "fxhash"), ["sled"]);
    assert_eq!(dependents(&lock, "parking_lot 0.11.2"), ["sled"]);
    let of_instant = dependents(&lock, "instant");
    assert!(of_instant.iter().all(|name| name.starts_with("parking_lot")), "{of_instant:?}");
}
