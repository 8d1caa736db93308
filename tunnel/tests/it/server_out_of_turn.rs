//! Packets that a frontend sends where they make little sense: another connection's id, a close while the dial waits,
//! a dial given up. The reference's order holds, and nobody else's connection is touched.

use tunnel::protocol::id::{ConnectId, DialId};
use tunnel::protocol::packet::{FromAgent, FromFrontend, ToAgent, ToFrontend};

use crate::server_support::{Agent, Frontend, House, soon};

fn packets(kind: &str, segment: &str) -> String {
    format!("stream_packets_total{{packet_type=\"{kind}\",segment=\"{segment}\"}}")
}

fn failures(reason: &str) -> String {
    format!("dial_failure_count{{reason=\"{reason}\"}}")
}

/// A frontend with a connection of that number.
async fn opened(house: &House, agent: &mut Agent, number: i64) -> (Frontend, ConnectId) {
    let mut frontend = house.frontend().await;
    frontend.dial(number, "x:1").await;
    let id = agent.open(number).await;
    let dial = DialId(number);
    assert_eq!(frontend.next().await, ToFrontend::Dialled { dial, id });
    (frontend, id)
}

/// Passes bytes of the agent to the frontend.
async fn still_hears(frontend: &mut Frontend, agent: &mut Agent, id: ConnectId) {
    agent.data(id, "still there").await;
    let data = "still there".into();
    assert_eq!(frontend.next().await, ToFrontend::Data { id, data });
}

/// Ends the stream; what the server still says.
async fn ends(frontend: Frontend) -> Option<ToFrontend> {
    let Frontend {
        mut reader, writer, ..
    } = frontend;
    writer.end().expect("the stream lives");
    let last = soon("the end of the stream", reader.next()).await;
    last.expect("it ends in order")
}

#[tokio::test]
async fn close_of_another_connection_is_the_last_word_and_closes_nothing() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    let (mut other, others) = opened(&house, &mut agent, 1).await;
    let (mut frontend, id) = opened(&house, &mut agent, 2).await;
    frontend.send(FromFrontend::Close { id: others }).await;
    let data = "is not looked at".into();
    frontend.send(FromFrontend::Data { id, data }).await;
    house
        .metric_becomes(&packets("DATA", "from_client"), 1.0)
        .await;
    still_hears(&mut other, &mut agent, others).await;
    still_hears(&mut frontend, &mut agent, id).await;
    drop(frontend);
    assert_eq!(agent.next().await, ToAgent::Close { id });
    still_hears(&mut other, &mut agent, others).await;
    house
        .metric_becomes(&packets("DATA", "to_agent"), 0.0)
        .await;
}

#[tokio::test]
async fn close_of_another_connection_leaves_the_answer_to_its_own() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    let (mut frontend, id) = opened(&house, &mut agent, 1).await;
    let unknown = ConnectId(77);
    frontend.send(FromFrontend::Close { id: unknown }).await;
    let asked = packets("CLOSE_REQ", "from_client");
    house.metric_becomes(&asked, 1.0).await;
    let error = String::new();
    agent.send(FromAgent::Closed { id, error }).await;
    let error = String::new();
    assert_eq!(frontend.next().await, ToFrontend::Closed { id, error });
    assert_eq!(ends(frontend).await, None);
}

#[tokio::test]
async fn close_while_the_dial_waits_is_the_last_word_and_the_dial_goes_on() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    let mut frontend = house.frontend().await;
    frontend.dial(1, "x:1").await;
    let (dial, _) = agent.dial().await;
    let id = ConnectId(5);
    frontend.send(FromFrontend::Close { id }).await;
    let given_up = DialId(1);
    frontend
        .send(FromFrontend::CancelDial { dial: given_up })
        .await;
    house
        .metric_becomes(&packets("DIAL_CLS", "from_client"), 1.0)
        .await;
    agent.send(FromAgent::Dialled { dial, id }).await;
    let answer = ToFrontend::Dialled { dial: given_up, id };
    assert_eq!(frontend.next().await, answer);
    still_hears(&mut frontend, &mut agent, id).await;
    drop(frontend);
    assert_eq!(agent.next().await, ToAgent::Close { id });
    house.metric_becomes(&failures("frontend_close"), 0.0).await;
}

#[tokio::test]
async fn stream_that_ends_while_its_dial_waits_gives_it_up() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    let mut frontend = house.frontend().await;
    frontend.dial(1, "x:1").await;
    let (dial, _) = agent.dial().await;
    let id = ConnectId(5);
    frontend.send(FromFrontend::Close { id }).await;
    assert_eq!(ends(frontend).await, None);
    assert_eq!(agent.next().await, ToAgent::CancelDial { dial });
    house.metric_becomes(&failures("frontend_close"), 1.0).await;
}

#[tokio::test]
async fn giving_up_another_dial_changes_nothing() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    let mut frontend = house.frontend().await;
    frontend.dial(1, "x:1").await;
    let (dial, _) = agent.dial().await;
    let other = DialId(2);
    frontend
        .send(FromFrontend::CancelDial { dial: other })
        .await;
    house
        .metric_becomes(&packets("DIAL_CLS", "from_client"), 1.0)
        .await;
    let id = ConnectId(1);
    agent.send(FromAgent::Dialled { dial, id }).await;
    let dial = DialId(1);
    assert_eq!(frontend.next().await, ToFrontend::Dialled { dial, id });
}

#[tokio::test]
async fn late_answer_to_a_dial_that_was_given_up_closes_what_it_opened() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    let mut frontend = house.frontend().await;
    frontend.dial(1, "x:1").await;
    let (dial, _) = agent.dial().await;
    let given_up = DialId(1);
    frontend
        .send(FromFrontend::CancelDial { dial: given_up })
        .await;
    assert_eq!(agent.next().await, ToAgent::CancelDial { dial });
    house.metric_becomes(&failures("frontend_close"), 1.0).await;
    let id = ConnectId(1);
    agent.send(FromAgent::Dialled { dial, id }).await;
    assert_eq!(agent.next().await, ToAgent::Close { id });
    let late = failures("unrecognized_response");
    house.metric_becomes(&late, 1.0).await;
    house.metric_becomes("established_connections", 0.0).await;
}

#[tokio::test]
async fn after_a_dial_that_was_given_up_bytes_fall_and_a_close_is_the_last_word() {
    let house = House::open("grpc", &[]).await;
    let mut agent = house.agent("a").await;
    let mut frontend = house.frontend().await;
    frontend.dial(1, "x:1").await;
    let (dial, _) = agent.dial().await;
    let given_up = DialId(1);
    frontend
        .send(FromFrontend::CancelDial { dial: given_up })
        .await;
    assert_eq!(agent.next().await, ToAgent::CancelDial { dial });
    let (id, data) = (ConnectId(9), "nobody's".into());
    frontend.send(FromFrontend::Data { id, data }).await;
    frontend.send(FromFrontend::Close { id }).await;
    frontend.dial(2, "x:1").await;
    assert_eq!(ends(frontend).await, None, "not a word");
    house
        .metric_becomes(&packets("DIAL_REQ", "to_agent"), 1.0)
        .await;
}
