//! An agent over a pipe in memory, on a clock that waits for nobody.

use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinSet;

use super::*;
use crate::drain;
use crate::metrics::Registry;
use crate::protocol::budget::Limits;
use crate::server::auth::Proof;
use crate::server::backends::Backends;
use crate::server::metrics::{Metrics, PREFIX};
use crate::server::strategy::Strategy;

const EVERY: Duration = Duration::from_secs(5);

fn gate() -> Gate {
    let metrics = Metrics::new(&Registry::new(PREFIX));
    Gate {
        server_id: "server-1".to_owned(),
        server_count: 1,
        live: watch::channel(0).1,
        siblings: watch::channel(Vec::new()).1,
        proof: Proof::Handshake,
        backends: Arc::new(Backends::new(vec![Strategy::Default], metrics.clone())),
        limits: Limits::default(),
        native_keepalive: EVERY,
        drain: drain::channel().1,
        metrics,
    }
}

/// Greets and answers so many pings, then says nothing more.
async fn agent(socket: DuplexStream, mut answers: u32) {
    let handshake = h2_limits::native_agent_side().handshake(socket).await;
    let mut connection = handshake.expect("HTTP/2");
    let greeting = connection.accept().await.expect("a stream");
    let (request, mut respond) = greeting.expect("it lives");
    let response = AgentHello::default().response().expect("legal headers");
    let mut sending = respond.send_response(response, false).expect("it lives");
    let (mut body, mut decoder) = (request.into_body(), Decoder::default());
    loop {
        tokio::select! {
            next = connection.accept() => match next {
                Some(Ok(_dial)) => {}
                Some(Err(_)) | None => return,
            },
            message = next(&mut body, &mut decoder) => match message {
                Ok(Some(Control::Ping { nonce })) if answers > 0 => {
                    answers -= 1;
                    let pong = Control::Pong { nonce }.encode().expect("short");
                    sending.send_data(pong, false).expect("it lives");
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            },
        }
    }
}

#[tokio::test(start_paused = true)]
async fn agent_stays_as_long_as_it_answers_pings() {
    for answers in [0, 1, 1000] {
        let gate = gate();
        let (ours, theirs) = duplex(64 * 1024);
        let mut agents = JoinSet::new();
        agents.spawn(agent(theirs, answers));
        let begun = Instant::now();
        let ended = serve(ours, &gate).await;
        assert!(
            matches!(ended, Err(SessionError::Silent(patience)) if patience == EVERY),
            "{ended:?}"
        );
        // The first ping is due at once, and the last one is not answered; the greeting's last bytes may count once.
        let stayed = begun.elapsed();
        let due = EVERY * (answers + 1);
        assert!((due..due + EVERY * 2).contains(&stayed), "{stayed:?}");
        assert_eq!(gate.backends.len(), 0, "nobody dials it any more");
    }
}
