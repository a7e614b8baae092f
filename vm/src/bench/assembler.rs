//! A small assembler that reads the opcode table: names as they are, `0x…` or decimal numbers as the
//! shortest push, `name:` for a jump destination, `@name` for a push of its place.

use crate::opcode;
use alloy_primitives::{Bytes, U256};
use std::collections::BTreeMap;

/// Assembles a program.
///
/// # Panics
///
/// Panics on a word that is neither an instruction, a number nor a label: tests are written by hand.
pub fn assemble(source: &str) -> Bytes {
    let mut code = Vec::new();
    let mut labels = BTreeMap::new();
    let mut uses = Vec::new();
    for word in source.split_whitespace() {
        if let Some(label) = word.strip_suffix(':') {
            labels.insert(label.to_owned(), code.len());
            code.push(opcode::JUMPDEST);
        } else if let Some(label) = word.strip_prefix('@') {
            code.push(opcode::PUSH2);
            uses.push((label.to_owned(), code.len()));
            code.extend_from_slice(&[0, 0]);
        } else if word.starts_with(|first: char| first.is_ascii_digit()) {
            push(&mut code, word.parse().unwrap());
        } else {
            code.push(byte(word));
        }
    }
    for (label, at) in uses {
        let target = labels.get(&label).unwrap_or_else(|| panic!("no label {label}"));
        code[at..at + 2].copy_from_slice(&(*target as u16).to_be_bytes());
    }
    code.into()
}

/// Pushes a number in its shortest form.
pub fn push(code: &mut Vec<u8>, value: U256) {
    let bytes = value.to_be_bytes_trimmed_vec();
    code.push(opcode::PUSH0 + bytes.len() as u8);
    code.extend_from_slice(&bytes);
}

fn byte(name: &str) -> u8 {
    let found = (0..=255).find(|&byte| opcode::TABLE[byte as usize].is_some_and(|row| row.name == name));
    found.unwrap_or_else(|| panic!("no instruction {name}"))
}
