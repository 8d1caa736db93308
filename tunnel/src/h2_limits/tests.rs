//! Holds `h2_limits.rs` to what it promises.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinSet;

use super::*;

type Client = client::SendRequest<Bytes>;
type Server = server::Connection<DuplexStream, Bytes>;

/// A client and a server of ours, and what drives the client.
async fn pair(builder: server::Builder) -> (Client, Server, JoinSet<Result<(), h2::Error>>) {
    let (ours, theirs) = duplex(1 << 20);
    let (client, server) = tokio::join!(
        client().handshake::<_, Bytes>(ours),
        builder.handshake::<_, Bytes>(theirs)
    );
    let (sender, connection) = client.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    (sender, server.unwrap(), tasks)
}

fn request() -> Request<()> {
    Request::post("http://localhost/").body(()).unwrap()
}

/// Drives the server for a moment; an error is what ended the connection.
async fn drive(server: &mut Server) -> Option<h2::Error> {
    let accepted = tokio::time::timeout(Duration::from_millis(200), server.accept()).await;
    accepted.ok().flatten().and_then(Result::err)
}

#[tokio::test]
async fn many_small_unread_frames_do_not_end_the_connection() {
    for builder in [server(), native_agent_side()] {
        let (sender, mut server, _tasks) = pair(builder).await;
        let mut sender = sender.ready().await.unwrap();
        let (_answer, mut stream) = sender.send_request(request(), false).unwrap();
        let (_request, _respond) = server.accept().await.unwrap().unwrap();
        for _ in 0..1000 {
            stream.send_data(Bytes::from_static(b"k"), false).unwrap();
        }
        assert!(drive(&mut server).await.is_none());
        assert!(sender.ready().await.is_ok());
    }
}

#[tokio::test]
async fn data_that_is_thrown_away_gives_its_window_back() {
    let mut builder = native_agent_side();
    builder.initial_connection_window_size(MIB / 2);
    let (mut sender, mut server, _tasks) = pair(builder).await;
    for _ in 0..6 {
        sender = sender.ready().await.unwrap();
        let (_answer, mut stream) = sender.send_request(request(), false).unwrap();
        let thrown_away = server.accept().await.unwrap().unwrap();
        let all = Bytes::from(vec![0; 200 * 1024]);
        stream.reserve_capacity(all.len());
        stream.send_data(all, false).unwrap();
        drive(&mut server).await;
        drop((thrown_away, stream));
        drive(&mut server).await;
    }
    sender = sender.ready().await.unwrap();
    let (_answer, mut stream) = sender.send_request(request(), false).unwrap();
    stream.reserve_capacity(100 * 1024);
    let room = poll_fn(|cx| stream.poll_capacity(cx));
    tokio::select! {
        room = room => assert!(room.unwrap().unwrap() > 0),
        error = async { while drive(&mut server).await.is_none() {} } => panic!("{error:?}"),
        () = tokio::time::sleep(Duration::from_secs(5)) => panic!("the window is used up"),
    }
}

#[tokio::test]
async fn dials_cancelled_before_they_are_accepted_do_not_end_the_connection() {
    cancelled_dials(frontend()).await;
    cancelled_dials(native_agent_side()).await;
}

async fn cancelled_dials(builder: server::Builder) {
    let (mut sender, mut server, _tasks) = pair(builder).await;
    for _ in 0..500 {
        sender = sender.ready().await.unwrap();
        let (_answer, mut stream) = sender.send_request(request(), false).unwrap();
        stream.send_reset(h2::Reason::CANCEL);
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        assert!(
            drive(&mut server)
                .await
                .is_none_or(|error| !error.is_go_away())
        );
    }
    let (_answer, _stream) = sender
        .ready()
        .await
        .unwrap()
        .send_request(request(), true)
        .unwrap();
}

#[tokio::test]
async fn stalled_streams_leave_window_to_the_others() {
    stalled_streams(frontend()).await;
    stalled_streams(native_agent_side()).await;
}

async fn stalled_streams(builder: server::Builder) {
    let (mut sender, mut server, _tasks) = pair(builder).await;
    let mut held = Vec::new();
    for _ in 0..60 {
        sender = sender.ready().await.unwrap();
        let (_answer, mut stream) = sender.send_request(request(), false).unwrap();
        held.push(server.accept().await.unwrap().unwrap());
        stream
            .send_data(Bytes::from(vec![0; 256 * 1024]), false)
            .unwrap();
        drive(&mut server).await;
    }
    sender = sender.ready().await.unwrap();
    let (answer, mut stream) = sender.send_request(request(), false).unwrap();
    stream.send_data(Bytes::from_static(b"echo"), true).unwrap();
    let (mut request, mut respond) = server.accept().await.unwrap().unwrap();
    let echo = async {
        let data = request.body_mut().data().await.unwrap().unwrap();
        let mut back = respond.send_response(Response::new(()), false).unwrap();
        back.send_data(data, true).unwrap();
    };
    let driven = async { while server.accept().await.is_some() {} };
    let answered = async {
        answer
            .await
            .unwrap()
            .into_body()
            .data()
            .await
            .unwrap()
            .unwrap()
    };
    tokio::select! {
        ((), data) = async { tokio::join!(echo, answered) } => assert_eq!(data, "echo"),
        () = driven => panic!("the connection ended"),
        () = tokio::time::sleep(Duration::from_secs(5)) => panic!("the stalled streams hold it up"),
    }
}

#[tokio::test]
async fn thousand_streams_open_before_the_first_settings() {
    thousand_streams(frontend()).await;
    thousand_streams(native_agent_side()).await;
}

async fn thousand_streams(builder: server::Builder) {
    let (mut sender, mut server, _tasks) = pair(builder).await;
    let mut streams = Vec::new();
    for _ in 0..1000 {
        sender = tokio::time::timeout(Duration::from_secs(5), sender.ready())
            .await
            .expect("dials queue behind each other")
            .unwrap();
        streams.push(sender.send_request(request(), false).unwrap());
    }
    for _ in 0..1000 {
        streams.pop();
        server.accept().await.unwrap().unwrap();
    }
}
