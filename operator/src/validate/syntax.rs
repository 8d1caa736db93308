//! What names, labels, hosts and arguments look like.
//!
//! In: one text. Out: whether it is one.

/// Lower-case letters, digits and hyphens, the first a letter: Services.
pub(super) fn is_dns_1035_label(text: &str) -> bool {
    is_dns_1123_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

/// Lower-case letters, digits and hyphens: one part of a DNS name.
pub(super) fn is_dns_1123_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Labels with dots between: most objects, and host names.
pub(super) fn is_dns_1123_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_1123_label)
}

/// A host name whose first part may be a star.
pub(super) fn is_wildcard_subdomain(text: &str) -> bool {
    text.strip_prefix("*.").is_some_and(is_dns_1123_subdomain)
}

/// The name of a container port: letters, digits and hyphens, one letter at least, 15 at most.
pub(super) fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && is_dns_1123_label(text)
        && text.contains(|letter: char| letter.is_ascii_lowercase())
        && !text.contains("--")
}

/// The key of a label or an annotation: a name, with or without a domain before it.
pub(super) fn is_qualified_name(text: &str) -> bool {
    let name = match text.split_once('/') {
        Some((domain, name)) if is_dns_1123_subdomain(domain) => name,
        Some(_) => return false,
        None => text,
    };
    !name.is_empty() && is_label_value(name)
}

/// The value of a label.
pub(super) fn is_label_value(text: &str) -> bool {
    let bounded = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.is_empty()
        || (text.len() <= 63
            && bounded(bytes.first())
            && bounded(bytes.last())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte)))
}

/// The flag that an argument sets: `v` of `--v=5`, `-v=5` and `--v`.
pub(super) fn flag_of(argument: &str) -> Option<&str> {
    let flag = match (argument.strip_prefix("--"), argument.strip_prefix('-')) {
        (Some(long), _) => long,
        (None, Some(short)) => short,
        (None, None) => return None,
    };
    let name = flag.split_once('=').map_or(flag, |(name, _)| name);
    let begins = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    (begins && !name.contains(char::is_whitespace)).then_some(name)
}

/// Whether a port can be listened on.
pub(super) fn is_port(port: i32) -> bool {
    (1..=65535).contains(&port)
}
