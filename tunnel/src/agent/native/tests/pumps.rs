//! One direction by itself, with an endpoint that takes nothing.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::duplex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::agent::metrics::Metrics;
use crate::agent::native::Traffic;
use crate::agent::native::pump::down;
use crate::h2_limits;

#[tokio::test]
async fn windows_full_of_frames_of_one_byte_do_not_end_the_connection() {
    let (ours, theirs) = duplex(1 << 20);
    let (client, server) = tokio::join!(
        h2_limits::native_server_side().handshake::<_, Bytes>(ours),
        h2_limits::native_agent_side().handshake::<_, Bytes>(theirs)
    );
    let ((mut sender, connection), mut server) = (client.unwrap(), server.unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    // More frames than h2 lets wait on a connection.
    let mut held = Vec::new();
    for _ in 0..2 {
        let request = Request::connect("a:1").body(()).unwrap();
        let (answer, mut stream) = sender.send_request(request, false).unwrap();
        let (request, respond) = server.accept().await.unwrap().unwrap();
        tasks.spawn(async move {
            let (mut endpoint, _unread) = duplex(1);
            let traffic = Traffic::new(&Metrics::new());
            let mut body = request.into_body();
            drop(down(&mut body, &mut endpoint, &traffic, &OnceLock::new()).await);
        });
        for _ in 0..140_000 {
            stream.send_data(Bytes::from_static(b"k"), false).unwrap();
        }
        held.push((answer, stream, respond));
    }
    let request = Request::connect("a:1").body(()).unwrap();
    let (_answer, mut last) = sender.send_request(request, false).unwrap();
    last.send_data(Bytes::from_static(b"lively"), true).unwrap();
    let patience = Duration::from_mins(1);
    let accepted = timeout(patience, server.accept()).await.expect("it comes");
    let mut body = accepted
        .expect("the connection lives")
        .unwrap()
        .0
        .into_body();
    tokio::select! {
        data = body.data() => assert_eq!(data.unwrap().unwrap(), "lively"),
        other = server.accept() => panic!("{:?}", other.map(|accepted| accepted.map(drop))),
    }
}
