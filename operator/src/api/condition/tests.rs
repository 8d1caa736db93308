//! What `set` keeps and what it changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::{Change, ConditionType, Finding, Reason, clear, find, is_true, set};

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).expect("a small number"))
}

fn pending() -> Finding {
    Finding::no(
        ConditionType::EndpointReady,
        Reason::LoadBalancerPending,
        "wait for an address",
    )
}

#[test]
fn transition_time_moves_only_with_the_status() {
    let mut conditions = Vec::new();
    assert_eq!(
        set(&mut conditions, &pending(), Some(1), &at(10)),
        Change::Transition
    );
    assert_eq!(
        set(&mut conditions, &pending(), Some(1), &at(20)),
        Change::Same
    );
    let reworded = Finding {
        message: "still waiting".to_owned(),
        ..pending()
    };
    assert_eq!(
        set(&mut conditions, &reworded, Some(2), &at(30)),
        Change::Wording
    );
    assert_eq!(
        find(&conditions, ConditionType::EndpointReady)
            .unwrap()
            .last_transition_time,
        at(10)
    );

    let good = Finding::yes(
        ConditionType::EndpointReady,
        Reason::AsExpected,
        "10.0.0.1:6443",
    );
    assert_eq!(
        set(&mut conditions, &good, Some(2), &at(40)),
        Change::Transition
    );
    assert_eq!(
        find(&conditions, ConditionType::EndpointReady)
            .unwrap()
            .last_transition_time,
        at(40)
    );
    assert!(is_true(&conditions, ConditionType::EndpointReady));
}

#[test]
fn conditions_are_shown_in_their_order_and_others_last() {
    let foreign = Condition {
        type_: "Someone/Else".to_owned(),
        status: "True".to_owned(),
        reason: "Because".to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: at(1),
    };
    let mut conditions = vec![foreign];
    set(&mut conditions, &pending(), None, &at(1));
    set(
        &mut conditions,
        &Finding::no(ConditionType::Ready, Reason::Provisioning, ""),
        None,
        &at(1),
    );
    let order: Vec<_> = conditions
        .iter()
        .map(|condition| condition.type_.as_str())
        .collect();
    assert_eq!(order, ["Ready", "EndpointReady", "Someone/Else"]);
    clear(&mut conditions, ConditionType::Ready);
    assert_eq!(find(&conditions, ConditionType::Ready), None);
}

#[test]
fn messages_are_cut_below_what_the_api_takes() {
    let mut conditions = Vec::new();
    let endless = Finding {
        message: "ü".repeat(40_000),
        ..pending()
    };
    set(&mut conditions, &endless, None, &at(1));
    assert!(conditions.first().unwrap().message.len() < 32_768);
}

#[test]
fn every_word_is_one_that_the_api_takes() {
    let mut words: Vec<_> = ConditionType::ALL
        .iter()
        .map(|kind| kind.as_str())
        .collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), ConditionType::ALL.len());
    assert!(
        words
            .iter()
            .all(|word| word.chars().all(|letter| letter.is_ascii_alphabetic()))
    );
}
