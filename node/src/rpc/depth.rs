//! How deep JSON is nested, read without parsing it: a pass over the bytes with a counter (RPC-1).

/// Whether brackets and braces outside strings nest deeper than `limit`.
pub(super) fn is_deeper_than(json: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in json {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_string = false,
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'[' | b'{') => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
    }
    false
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
