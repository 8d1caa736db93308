//! Holds `table.rs` to what it promises.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::protocol::id::{ConnectId, DialId};
use crate::protocol::packet::{FromAgent, Packet as _, ToAgent};

type Server = ServerTable<i64, ConnectId>;
type Agent = AgentTable<ConnectId>;

fn data() -> Bytes {
    Bytes::from_static(b"x")
}

/// A table in which dial 1 or connection 1 is where its name says.
fn server_at(stage: &str) -> Server {
    let mut table = Server::default();
    let dial = table.dial(100);
    let open = FromAgent::Dialled {
        dial,
        id: ConnectId(1),
    };
    match stage {
        "dialling" => {}
        "given up" => drop(table.give_up(dial)),
        "open" => drop(table.receive(open, |id| id)),
        "closing" => {
            table.receive(open, |id| id).unwrap();
            table.close(ConnectId(1)).unwrap();
        }
        other => panic!("stage {other}"),
    }
    table
}

#[test]
fn transitions_of_the_server() {
    let packets = [
        FromAgent::Dialled {
            dial: DialId(1),
            id: ConnectId(1),
        },
        FromAgent::DialFailed {
            dial: DialId(1),
            error: "refused".into(),
        },
        FromAgent::CancelDial { dial: DialId(1) },
        FromAgent::Data {
            id: ConnectId(1),
            data: data(),
        },
        FromAgent::Closed {
            id: ConnectId(1),
            error: String::new(),
        },
        FromAgent::Drain,
    ];
    let mut drawn = String::new();
    for stage in ["dialling", "given up", "open", "closing"] {
        for packet in &packets {
            let mut table = server_at(stage);
            let answer = table.receive(packet.clone(), |id| id);
            let is_failure = matches!(packet, FromAgent::DialFailed { .. });
            let name = if is_failure {
                "DIAL_RSP with error"
            } else {
                packet.name()
            };
            let again = table.receive(
                FromAgent::Data {
                    id: ConnectId(1),
                    data: data(),
                },
                |id| id,
            );
            let then = if matches!(again, Ok(Answer::Deliver { .. })) {
                "open"
            } else {
                "not open"
            };
            writeln!(drawn, "{stage:8} + {name:19} → {answer:?}, then {then}").unwrap();
        }
    }
    insta::assert_snapshot!(drawn);
}

#[test]
fn transitions_of_the_agent() {
    let packets = [
        ToAgent::CancelDial { dial: DialId(7) },
        ToAgent::Data {
            id: ConnectId(1),
            data: data(),
        },
        ToAgent::Close { id: ConnectId(1) },
    ];
    let mut drawn = String::new();
    for stage in ["dialling", "given up", "failed", "open", "ended"] {
        for packet in &packets {
            let mut table = Agent::default();
            let dial = ToAgent::Dial {
                dial: DialId(7),
                protocol: "tcp".into(),
                address: "a:1".into(),
            };
            table.receive(dial, |id| id);
            match stage {
                "given up" => drop(table.receive(ToAgent::CancelDial { dial: DialId(7) }, |id| id)),
                "failed" => drop(table.failed(ConnectId(1), "refused".into())),
                "open" => drop(table.dialled(ConnectId(1))),
                "ended" => {
                    table.dialled(ConnectId(1)).unwrap();
                    table.ended(ConnectId(1), String::new()).unwrap();
                }
                _ => {}
            }
            let request = table.receive(packet.clone(), |id| id);
            let left = table.len();
            writeln!(
                drawn,
                "{stage:8} + {:9} → {request:?}, {left} left",
                packet.name()
            )
            .unwrap();
        }
    }
    insta::assert_snapshot!(drawn);
}

#[test]
fn agent_that_gives_a_name_twice_is_broken() {
    let mut table = server_at("open");
    let second = table.dial(101);
    let reused = FromAgent::Dialled {
        dial: second,
        id: ConnectId(1),
    };
    assert_eq!(
        table.receive(reused, |id| id),
        Err(Broken::Reused(ConnectId(1)))
    );
    assert_eq!(
        table.lose(),
        (vec![101], vec![ConnectId(1)]),
        "each still ends once"
    );
}

#[test]
fn storm_for_unknown_connections_is_answered_once_each_and_bounded() {
    let mut table = Server::default();
    let mut told = 0;
    let mut send = |n: i64| {
        let packet = FromAgent::Data {
            id: ConnectId(n),
            data: data(),
        };
        table
            .receive(packet, |id| id)
            .map(|answer| told += usize::from(answer != Answer::Nothing))
    };
    for _ in 0..10 {
        for n in 0..100 {
            send(n).unwrap();
        }
    }
    let limit = i64::try_from(MAX_CLOSING).unwrap();
    assert!((100..=limit).all(|n| send(n).is_ok()));
    assert_eq!(send(limit + 1), Err(Broken::TooManyUnknown));
    assert_eq!(told, MAX_CLOSING);
}

/// What may happen to a stream, as seen from one end.
#[derive(Clone, Debug)]
enum Event {
    Dial,
    GiveUp(i64),
    Close(i64),
    Packet(FromAgent),
}

fn server_event() -> impl Strategy<Value = Event> {
    let dial = (0_i64..8).prop_map(DialId);
    let id = (0_i64..8).prop_map(ConnectId);
    prop_oneof![
        3 => Just(Event::Dial),
        1 => (0_i64..8).prop_map(Event::GiveUp),
        1 => (0_i64..8).prop_map(Event::Close),
        3 => (dial.clone(), id.clone())
            .prop_map(|(dial, id)| Event::Packet(FromAgent::Dialled { dial, id })),
        1 => dial.clone()
            .prop_map(|dial| Event::Packet(FromAgent::DialFailed { dial, error: "no".into() })),
        1 => dial.prop_map(|dial| Event::Packet(FromAgent::CancelDial { dial })),
        2 => id.clone().prop_map(|id| Event::Packet(FromAgent::Data { id, data: data() })),
        2 => id.prop_map(|id| Event::Packet(FromAgent::Closed { id, error: String::new() })),
    ]
}

proptest! {
    #[test]
    fn every_dial_and_every_connection_at_the_server_ends_once(
        events in prop::collection::vec(server_event(), 0..80)
    ) {
        let mut table = Server::default();
        let (mut waiting, mut open, mut waiters) = (BTreeSet::new(), BTreeSet::new(), 0);
        for event in events {
            match event {
                Event::Dial => {
                    waiters += 1;
                    table.dial(waiters);
                    waiting.insert(waiters);
                }
                Event::GiveUp(dial) => {
                    if let Some(waiter) = table.give_up(DialId(dial)) {
                        prop_assert!(waiting.remove(&waiter));
                    }
                }
                Event::Close(id) => {
                    if let Some(id) = table.close(ConnectId(id)) {
                        prop_assert!(open.remove(&id));
                    }
                }
                Event::Packet(packet) => match table.receive(packet, |id| id) {
                    Ok(Answer::Opened { waiter, id, connection }) => {
                        prop_assert!(waiting.remove(&waiter));
                        prop_assert_eq!(id, connection);
                        prop_assert!(open.insert(id), "a name of an open connection");
                    }
                    Ok(Answer::Refused { waiter, .. } | Answer::GivenUp { waiter }) => {
                        prop_assert!(waiting.remove(&waiter));
                    }
                    Ok(Answer::Deliver { connection, .. }) => prop_assert!(open.contains(&connection)),
                    Ok(Answer::Closed { connection, .. }) => prop_assert!(open.remove(&connection)),
                    Ok(Answer::Unknown { close }) => prop_assert!(!open.contains(&close)),
                    Ok(Answer::Unwanted { close }) => {
                        prop_assert!(close.is_none_or(|id| !open.contains(&id)));
                    }
                    Ok(Answer::Drain | Answer::Nothing) => {}
                    Err(_) => break,
                },
            }
            prop_assert_eq!(table.len(), waiting.len() + open.len());
        }
        let (lost_waiters, lost_open) = table.lose();
        prop_assert_eq!(lost_waiters.into_iter().collect::<BTreeSet<_>>(), waiting);
        prop_assert_eq!(lost_open.into_iter().collect::<BTreeSet<_>>(), open);
        prop_assert!(table.is_empty());
    }

    #[test]
    fn agent_answers_every_dial_once_and_never_reuses_a_name(
        events in prop::collection::vec((0_u8..7, 0_i64..6), 0..80)
    ) {
        let mut table = Agent::default();
        let (mut dialling, mut open, mut minted) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (event, n) in events {
            let id = ConnectId(n);
            let packet = match event {
                0 | 1 => ToAgent::Dial { dial: DialId(n), protocol: String::new(), address: String::new() },
                2 => ToAgent::CancelDial { dial: DialId(n) },
                3 => ToAgent::Data { id, data: data() },
                4 => ToAgent::Close { id },
                5 => {
                    if let Some(FromAgent::Dialled { id, .. }) = table.dialled(id) {
                        prop_assert!(dialling.remove(&id) && open.insert(id));
                    }
                    continue;
                }
                _ => {
                    match table.ended(id, String::new()) {
                        Some(FromAgent::DialFailed { .. }) => prop_assert!(dialling.remove(&id)),
                        Some(FromAgent::Closed { .. }) => prop_assert!(open.remove(&id)),
                        other => prop_assert_eq!(other, None),
                    }
                    continue;
                }
            };
            match table.receive(packet, |id| id) {
                Request::Dial { id, .. } => prop_assert!(minted.insert(id) && dialling.insert(id)),
                Request::GiveUp { connection } => prop_assert!(dialling.remove(&connection)),
                Request::Deliver { connection, .. } => prop_assert!(open.contains(&connection)),
                Request::Close { connection, .. } => prop_assert!(open.remove(&connection)),
                Request::Reply(_) => prop_assert!(!open.contains(&id)),
                Request::Nothing => {}
            }
            prop_assert_eq!(table.len(), dialling.len() + open.len());
        }
        prop_assert_eq!(table.lose().len(), dialling.len() + open.len());
    }
}
