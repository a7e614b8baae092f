//! How deep JSON is nested, read without parsing it: a pass over the bytes with a counter (RPC-1).

/// Whether brackets and braces outside strings nest deeper than `limit`.
pub(super) fn is_deeper_than(json: &[u8], limit: usize) -> bool {
    let (mut depth, mut rest) = (0usize, json.iter());
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => rest = behind_string(rest.as_slice()).iter(),
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// What follows the string whose opening quote was just read. Strings are where long parameters are long.
fn behind_string(mut json: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', json) {
        let escapes = usize::from(json[at] == b'\\');
        json = json.get(at + 1 + escapes..).unwrap_or_default();
        if escapes == 0 {
            return json;
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rpc_1_depth_is_counted_outside_strings() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(!is_deeper_than(nested(64).as_bytes(), 64));
        assert!(is_deeper_than(nested(65).as_bytes(), 64));
        assert!(!is_deeper_than(format!("[\"{}\"]", "[".repeat(100)).as_bytes(), 64));
        assert!(!is_deeper_than(b"[\"\\\"[[[\", {}]", 2));
        assert!(is_deeper_than(b"[\"\\\\\", [[]]]", 2));
        assert!(!is_deeper_than("[]".repeat(1000).as_bytes(), 1));
        assert!(is_deeper_than(&[b'{'; 100_000], 64));
    }
}
