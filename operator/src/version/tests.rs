//! Which texts are versions, and which steps are legal.

use super::{Error, Step, Version};

#[test]
fn texts_are_read_or_refused_with_a_remedy() {
    assert_eq!(Version::parse("v1.33.0").unwrap().minor(), 33);
    assert_eq!(Version::parse("v1.33.12").unwrap().patch(), 12);
    assert_eq!(
        Version::parse("v1.34.0-rc.1").unwrap().as_str(),
        "v1.34.0-rc.1"
    );
    assert_eq!(
        Version::parse("1.33.0"),
        Err(Error::NoLeadingV("1.33.0".to_owned()))
    );
    for text in [
        "",
        "v",
        "v1",
        "v1.33",
        "v2.0.0",
        "v1.033.0",
        "v1.33.0-",
        "v1.33.0+k3s1",
        "latest",
        "v1.33.0 ",
    ] {
        assert_eq!(Version::parse(text), Err(Error::Malformed), "{text:?}");
    }
    assert_eq!(Version::parse_supported("v1.29.9"), Err(Error::TooOld(30)));
    assert_eq!(Version::parse_supported("v1.37.0"), Err(Error::TooNew(36)));
    assert!(Version::parse_supported("v1.30.0").is_ok());
    assert!(Version::parse_supported("v1.36.1").is_ok());
}

#[test]
fn steps_are_told_apart() {
    let step = |from: &str, to: &str| {
        Version::parse(from)
            .unwrap()
            .step_to(&Version::parse(to).unwrap())
    };
    assert_eq!(step("v1.33.0", "v1.33.0"), Step::None);
    assert_eq!(step("v1.33.0", "v1.33.1"), Step::Patch);
    assert_eq!(step("v1.33.1", "v1.33.0"), Step::Patch);
    assert_eq!(step("v1.34.0-rc.1", "v1.34.0"), Step::Patch);
    assert_eq!(step("v1.33.4", "v1.34.0"), Step::NextMinor);
    assert_eq!(step("v1.33.4", "v1.35.0"), Step::Skip);
    assert_eq!(step("v1.33.4", "v1.32.9"), Step::Downgrade);
}
