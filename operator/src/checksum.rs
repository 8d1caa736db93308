//! The checksum in annotations: MD5 over the values in the order of their keys.
//!
//! It proves nothing and protects nothing; it is the digest Kamaji writes and compares, so that one can move there
//! and back without its rolling pods or making new passwords.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use md5::{Digest as _, Md5};

/// The checksum of a Secret's or `ConfigMap`'s data.
pub fn of<K: Ord, V: AsRef<[u8]>>(data: &BTreeMap<K, V>) -> String {
    let mut digest = Md5::new();
    for value in data.values() {
        digest.update(value);
    }
    hex(&digest.finalize())
}

/// The checksum of a single text.
pub fn of_text(text: &str) -> String {
    hex(&Md5::digest(text))
}

/// The checksum of a list, in its order: each text ends with a zero byte, so that none runs into the next.
pub fn of_list(texts: &[String]) -> String {
    let mut digest = Md5::new();
    for text in texts {
        digest.update(text);
        digest.update([0]);
    }
    hex(&digest.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_count_in_the_order_of_their_keys() {
        let data = BTreeMap::from([("b", "lo"), ("a", "hel")]);
        assert_eq!(of(&data), "5d41402abc4b2a76b9719d911017c592");
        assert_eq!(of_text("hello"), of(&data));
    }

    #[test]
    fn a_list_is_not_its_texts_in_one() {
        let list = |texts: &[&str]| {
            of_list(
                &texts
                    .iter()
                    .map(|&text| text.to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(list(&["hello"]), of_text("hello\0"));
        assert_ne!(list(&["ab", "c"]), list(&["a", "bc"]));
        assert_ne!(list(&["a", "b"]), list(&["b", "a"]));
    }
}
