//! Kubernetes' spellings of labels and of what selects them, looked at before an API server sees them.
//! Pure; text in, its parts or what is wrong out. The rules are apimachinery's: `labels.Parse`, `IsQualifiedName`.

/// Longest name, and longest value.
const LONGEST: usize = 63;
/// Longest prefix of a name.
const LONGEST_PREFIX: usize = 253;

/// What is wrong with a label or a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Nothing stands between two commas, or behind the last one.
    #[error("nothing stands before, between or behind its commas")]
    Empty,
    /// Neither a name alone nor one with an operator.
    #[error("{0:?} is no requirement")]
    Requirement(String),
    /// A name.
    #[error(
        "{0:?} is no label's name: 1 to 63 letters, digits, '-', '_' and '.', a letter or digit at both ends"
    )]
    Name(String),
    /// What stands before the slash of a name.
    #[error("{0:?} is no prefix of a label's name: it must be a DNS name in small letters")]
    Prefix(String),
    /// A value.
    #[error(
        "{0:?} is no label's value: up to 63 letters, digits, '-', '_' and '.', a letter or digit at both ends"
    )]
    Value(String),
    /// What follows `<` or `>`.
    #[error("{0:?} is no whole number, and nothing else is larger or smaller")]
    Number(String),
}

/// Checks a selector: requirements with commas between; nothing at all selects everything.
pub fn label_selector(text: &str) -> Result<(), LabelError> {
    if text.trim().is_empty() {
        return Ok(());
    }
    let mut is_inside = false;
    let cuts = text.split(|letter| {
        is_inside = letter == '(' || is_inside && letter != ')';
        letter == ',' && !is_inside
    });
    cuts.map(str::trim).try_for_each(requirement)
}

/// Reads `key=value`.
pub fn label(text: &str) -> Result<(String, String), LabelError> {
    let pair = text.split_once('=');
    let (key, its) = pair.ok_or_else(|| LabelError::Requirement(text.to_owned()))?;
    let (key, its) = (key.trim(), its.trim());
    name(key)?;
    value(its)?;
    Ok((key.to_owned(), its.to_owned()))
}

fn requirement(text: &str) -> Result<(), LabelError> {
    if text.is_empty() {
        return Err(LabelError::Empty);
    }
    if let Some((head, set)) = text.split_once('(') {
        let words: Vec<&str> = head.split_whitespace().collect();
        let values = set.strip_suffix(')').map(str::trim);
        return match (words.as_slice(), values) {
            ([key, "in" | "notin"], Some(values)) if !values.is_empty() => {
                name(key)?;
                values.split(',').map(str::trim).try_for_each(value)
            }
            _ => Err(LabelError::Requirement(text.to_owned())),
        };
    }
    for operator in ["!=", "==", "="] {
        if let Some((key, its)) = text.split_once(operator) {
            return name(key.trim()).and_then(|()| value(its.trim()));
        }
    }
    for operator in ['<', '>'] {
        if let Some((key, number)) = text.split_once(operator) {
            return name(key.trim()).and_then(|()| whole(number.trim()));
        }
    }
    name(text.strip_prefix('!').map_or(text, str::trim))
}

fn name(text: &str) -> Result<(), LabelError> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    match prefix {
        Some(prefix) if !is_dns_name(prefix) => Err(LabelError::Prefix(prefix.to_owned())),
        _ if !is_word(name) => Err(LabelError::Name(text.to_owned())),
        _ => Ok(()),
    }
}

fn value(text: &str) -> Result<(), LabelError> {
    if text.is_empty() || is_word(text) {
        Ok(())
    } else {
        Err(LabelError::Value(text.to_owned()))
    }
}

fn whole(text: &str) -> Result<(), LabelError> {
    let number: Result<i64, _> = text.parse();
    number
        .map(drop)
        .map_err(|_malformed| LabelError::Number(text.to_owned()))
}

fn is_word(text: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= LONGEST
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn is_dns_name(text: &str) -> bool {
    text.len() <= LONGEST_PREFIX
        && text.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn selectors_read_as_in_kubernetes() {
        for legal in [
            "",
            " ",
            "k8s-app=konnectivity-server",
            "a=b,c==d , e != f",
            "a=",
            "app.kubernetes.io/name",
            "!a, ! b",
            "a in (b, c),d notin(e,)",
            "a>1,b < -2",
        ] {
            assert_eq!(label_selector(legal), Ok(()), "{legal}");
        }
        let long = "x".repeat(64);
        for (wrong, expected) in [
            ("a,,b", LabelError::Empty),
            ("a=b,", LabelError::Empty),
            ("=b", LabelError::Name(String::new())),
            ("a b", LabelError::Name("a b".to_owned())),
            ("!", LabelError::Name(String::new())),
            (&long, LabelError::Name(long.clone())),
            ("K8s.io/x", LabelError::Prefix("K8s.io".to_owned())),
            ("a=b c", LabelError::Value("b c".to_owned())),
            ("a=b=c", LabelError::Value("b=c".to_owned())),
            ("a=-b", LabelError::Value("-b".to_owned())),
            ("a in (b", LabelError::Requirement("a in (b".to_owned())),
            ("a in ()", LabelError::Requirement("a in ()".to_owned())),
            ("a of (b)", LabelError::Requirement("a of (b)".to_owned())),
            ("a>b", LabelError::Number("b".to_owned())),
        ] {
            assert_eq!(label_selector(wrong), Err(expected), "{wrong}");
        }
    }

    #[test]
    fn label_is_a_name_and_a_value() {
        let pair = ("k8s-app".to_owned(), "konnectivity-server".to_owned());
        assert_eq!(label("k8s-app = konnectivity-server"), Ok(pair));
        assert_eq!(label("a="), Ok(("a".to_owned(), String::new())));
        for wrong in ["", "a", "=b", "a=b=c", "a/b/c=d"] {
            assert!(label(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC*") {
            let _ = label_selector(&text);
            let _ = label(&text);
        }
    }
}
