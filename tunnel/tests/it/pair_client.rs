//! Connections through a tunnel, as kube-apiserver's client makes them: both frontends.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tunnel::grpc::{PacketReader, PacketWriter};
use tunnel::h2_limits;
use tunnel::protocol::id::{ConnectId, DialId};
use tunnel::protocol::packet::{FromFrontend, ToFrontend};

use crate::pair_support::SOON;

/// The newest dial of all frontends.
static LAST: AtomicUsize = AtomicUsize::new(1);

/// A connection through the tunnel, as kube-apiserver has it.
pub(crate) enum Client {
    Connect(UnixStream),
    Grpc(GrpcClient),
}

impl Client {
    pub(crate) async fn send(&mut self, data: &[u8]) -> Result<(), String> {
        match self {
            Self::Connect(stream) => stream.write_all(data).await.map_err(|e| e.to_string()),
            Self::Grpc(client) => client.send(data).await,
        }
    }

    /// Sends until nothing is taken any more.
    pub(crate) async fn send_for_ever(&mut self, data: &[u8]) {
        while self.send(data).await.is_ok() {}
    }

    /// Some bytes; empty at the end.
    pub(crate) async fn receive(&mut self) -> Bytes {
        match self {
            Self::Connect(stream) => {
                let mut buffer = vec![0; 64 * 1024];
                let n = stream.read(&mut buffer).await.unwrap_or(0);
                buffer.truncate(n);
                buffer.into()
            }
            Self::Grpc(client) => client.receive().await,
        }
    }

    pub(crate) async fn receive_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let data = self.receive().await;
            if data.is_empty() {
                return all;
            }
            all.extend_from_slice(&data);
        }
    }

    /// Closes as kube-apiserver's client does; in gRPC mode waits for the confirmation.
    pub(crate) async fn close(self) {
        match self {
            Self::Connect(mut stream) => stream.shutdown().await.unwrap_or_default(),
            Self::Grpc(mut client) => client.close().await,
        }
    }

    /// Sends a word and gets it back.
    pub(crate) async fn echo(&mut self, word: &[u8]) {
        self.send(word).await.unwrap();
        let mut back = Vec::new();
        while back.len() < word.len() {
            let data = self.receive().await;
            assert!(!data.is_empty(), "ended inside an echo");
            back.extend_from_slice(&data);
        }
        assert_eq!(back, word);
    }
}

pub(crate) async fn connect(socket: &PathBuf, address: &str) -> Result<UnixStream, String> {
    let mut stream = UnixStream::connect(socket)
        .await
        .map_err(|e| e.to_string())?;
    let request = format!("CONNECT {address} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|e| e.to_string())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.map_err(|e| e.to_string())? == 0 {
            break;
        }
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    if head.starts_with("HTTP/1.1 200 Connection Established\r\n") {
        return Ok(stream);
    }
    let mut body = String::new();
    stream.read_to_string(&mut body).await.unwrap();
    Err(format!(
        "{} {body}",
        head.lines().next().unwrap_or_default()
    ))
}

/// One Proxy stream on a connection of its own.
pub(crate) struct GrpcClient {
    reader: PacketReader<ToFrontend>,
    writer: PacketWriter,
    id: ConnectId,
    _sender: SendRequest<Bytes>,
    _driving: JoinSet<()>,
}

impl GrpcClient {
    pub(crate) async fn dial(socket: &PathBuf, address: &str) -> Result<Self, String> {
        let stream = UnixStream::connect(socket).await.unwrap();
        let (sender, connection) = h2_limits::client().handshake(stream).await.unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(async move { connection.await.unwrap_or_default() });
        let request = Request::post("http://localhost/ProxyService/Proxy")
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let mut sender = sender.ready().await.unwrap();
        let (answer, stream) = sender
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        let mut writer = PacketWriter::new(stream);
        let dial = DialId(i64::try_from(LAST.fetch_add(1, Ordering::Relaxed)).unwrap());
        let (protocol, address) = ("tcp".to_owned(), address.to_owned());
        writer
            .send(FromFrontend::Dial {
                dial,
                protocol,
                address,
            })
            .await
            .unwrap();
        let mut reader = PacketReader::new(answer.await.unwrap().into_body());
        match reader.next().await.unwrap() {
            Some(ToFrontend::Dialled { dial: answered, id }) => {
                assert_eq!(answered, dial);
                Ok(Self {
                    reader,
                    writer,
                    id,
                    _sender: sender,
                    _driving: driving,
                })
            }
            Some(ToFrontend::DialFailed { error, .. }) => Err(error),
            other => Err(format!("not an answer: {other:?}")),
        }
    }

    async fn send(&mut self, data: &[u8]) -> Result<(), String> {
        for part in data.chunks(16 * 1024) {
            let data = Bytes::copy_from_slice(part);
            let sent = self
                .writer
                .send(FromFrontend::Data { id: self.id, data })
                .await;
            sent.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn receive(&mut self) -> Bytes {
        match self.reader.next().await {
            Ok(Some(ToFrontend::Data { id, data })) => {
                assert_eq!(id, self.id);
                data
            }
            _ => Bytes::new(),
        }
    }

    async fn close(&mut self) {
        if self
            .writer
            .send(FromFrontend::Close { id: self.id })
            .await
            .is_err()
        {
            return;
        }
        let confirmed = async {
            while !matches!(
                self.reader.next().await,
                Ok(Some(ToFrontend::Closed { .. }) | None) | Err(_)
            ) {}
        };
        timeout(SOON, confirmed)
            .await
            .expect("CLOSE_REQ is confirmed");
    }
}
