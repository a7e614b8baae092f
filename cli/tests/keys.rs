//! Keys from the first word to the last: made, listed, exported, imported, never overwritten, never leaked.

#![allow(clippy::unwrap_used)]

mod support;

use support::Home;
use support::node::FakeNode;

#[test]
fn the_words_bring_the_account_back() {
    let home = Home::new();
    let made = home.run(&["wallet", "new", "--json", "alice", "--label", "rent"]).json();
    let words = made["mnemonic"].as_str().unwrap();
    assert_eq!(words.split(' ').count(), 24);
    let other = Home::new();
    let imported = other.run_with_input(&["wallet", "import", "--json", "again"], words).json();
    assert_eq!(imported["address"], made["address"]);
    let second =
        other.run_with_input(&["wallet", "import", "--json", "second", "--index", "1"], words).json();
    assert_ne!(second["address"], made["address"]);
    let list = home.run(&["wallet", "list", "--json"]).json();
    assert_eq!(
        (&list["accounts"][0]["name"], &list["accounts"][0]["label"]),
        (&"alice".into(), &"rent".into())
    );
    for entry in std::fs::read_dir(home.folder().join("wallet/keys")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(
            words.split(' ').all(|word| !text.contains(&format!(" {word} "))),
            "the words are not stored"
        );
    }
}

#[test]
fn an_exported_seed_is_the_account_and_an_encrypted_export_keeps_its_password() {
    let home = Home::new();
    let made = home.run(&["wallet", "new", "--json", "alice"]).json();
    assert_eq!(home.run(&["wallet", "export", "--json", "alice"]).error_code(2), "confirmation_needed");
    let seed = home.run(&["wallet", "export", "--json", "alice", "--yes"]).json()["seed"]
        .as_str()
        .unwrap()
        .to_owned();
    let file = home.run(&["wallet", "export", "alice", "--encrypted"]).stdout;
    for secret in [seed.clone(), format!("0x{seed}\n"), file] {
        let other = Home::new();
        let imported = other.run_with_input(&["wallet", "import", "--json", "copy"], &secret).json();
        assert_eq!(imported["address"], made["address"]);
        let again = other.run(&["wallet", "export", "--json", "copy", "--yes"]).json();
        assert_eq!(again["seed"], seed);
    }
}

#[test]
fn a_name_is_taken_once_and_a_key_kept_once() {
    let home = Home::new();
    home.run(&["wallet", "new", "--json", "alice"]).json();
    assert_eq!(home.run(&["wallet", "new", "--json", "alice"]).error_code(1), "name_taken");
    let file = home.run(&["wallet", "export", "alice", "--encrypted"]).stdout;
    let same = home.run_with_input(&["wallet", "import", "--json", "bob"], &file);
    assert_eq!(same.error_code(1), "key_exists");
}

#[test]
fn a_wrong_password_or_a_changed_file_opens_nothing() {
    let node = FakeNode::start();
    let home = Home::beside(&node);
    home.run(&["wallet", "new", "--json", "alice"]).json();
    std::fs::write(home.folder().join("other"), "wrong horse").unwrap();
    let send = ["wallet", "send", "--json", "--from", "alice", "--to", "dev1", "1", "--password-file"];
    assert_eq!(home.run(&[&send[..], &["other"]].concat()).error_code(1), "wrong_password");
    assert_eq!(home.run(&[&send[..], &["missing"]].concat()).error_code(1), "file");
    let path = home.folder().join("wallet/keys/alice.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"passes\": 3", "\"passes\": 2")).unwrap();
    assert_eq!(home.run(&[&send[..], &["password"]].concat()).error_code(1), "wrong_password");
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert_eq!(home.run(&[&send[..], &["password"]].concat()).error_code(1), "key_file");
    assert_eq!(node.submissions(), 0);
}

#[cfg(unix)]
#[test]
fn keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.run(&["wallet", "new", "--json", "alice"]).json();
    let mode = |path: &str| std::fs::metadata(home.folder().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("wallet"), mode("wallet/keys"), mode("wallet/keys/alice.json")), (0o700, 0o700, 0o600));
}

#[test]
fn balances_are_told_to_people_and_to_programs() {
    let node = FakeNode::start();
    let home = Home::beside(&node);
    let json = home.run(&["wallet", "balance", "--json", "dev0"]).json();
    assert_eq!(json["accounts"][0]["spendable"], "1000000000000000000000000");
    let told = home.run(&["wallet", "balance", "dev0"]);
    assert!(told.stdout.contains("spendable") && told.stdout.contains("1000000 SYN"), "{}", told.stdout);
    assert!(home.run(&["wallet", "balance"]).stdout.contains("synod wallet new NAME"));
}

/// One damaged file takes no other key with it: the rest is listed, used and added to, and it is named.
#[test]
fn a_damaged_key_file_locks_no_other_key_up() {
    let home = Home::new();
    home.run(&["wallet", "new", "--json", "alice"]).json();
    home.run(&["wallet", "new", "--json", "bob"]).json();
    home.run(&["wallet", "label", "0x305498f8e08BC65DBacb4514475E01AFbE03f575", "a shop"]);
    std::fs::write(home.folder().join("wallet/keys/bob.json"), "{").unwrap();
    let listed = home.run(&["wallet", "list", "--json"]).json();
    assert_eq!(listed["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(listed["others"][0]["label"], "a shop");
    assert_eq!(listed["damaged"][0]["name"], "bob");
    let listed = home.run(&["wallet", "list"]);
    assert!(listed.stdout.starts_with("alice") && listed.stdout.contains("a shop"), "{listed:?}");
    assert!(listed.stderr.contains("warning") && listed.stderr.contains("bob.json"), "{listed:?}");
    home.run(&["wallet", "new", "--json", "carol"]).json();
    home.run(&["wallet", "export", "alice", "--yes", "--json"]).json();
    assert_eq!(home.run(&["wallet", "export", "bob", "--yes", "--json"]).error_code(1), "key_file");
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_may_read_is_warned_of_wherever_it_is_used() {
    use std::os::unix::fs::PermissionsExt;
    let node = FakeNode::start();
    let home = Home::beside(&node);
    home.run(&["wallet", "new", "--json", "alice"]).json();
    let file = home.folder().join("wallet/keys/alice.json");
    let lines: [&[&str]; 3] = [
        &["wallet", "list"],
        &["wallet", "send", "--from", "alice", "--to", "dev1", "1", "--wait", "submitted"],
        &["doctor"],
    ];
    for (mode, warned) in [(0o600, false), (0o640, true), (0o604, true)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        for line in lines {
            let ran = home.run(line);
            assert_eq!(ran.stderr.contains("run `chmod 600"), warned, "{mode:o} {line:?}: {ran:?}");
        }
    }
}
