//! Names of jobs and sinks, written so that they can be parts of other names.

/// `name` with every byte but ASCII letters, digits, `-` and `_` written as `marker` and two
/// hexadecimal digits: different names stay different, however they are joined.
pub(crate) fn escaped(name: &str, marker: char) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            escaped.push(char::from(byte));
        } else {
            escaped.push(marker);
            escaped.push_str(&format!("{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_are_written_in_hexadecimal() {
        assert_eq!(escaped("fraud-2_x", '%'), "fraud-2_x");
        assert_eq!(escaped("a/b.ü", '%'), "a%2Fb%2E%C3%BC");
        assert_eq!(escaped("a:b", ':'), "a:3Ab");
    }
}
