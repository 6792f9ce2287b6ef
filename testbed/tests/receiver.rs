//! Every fault of the receiver is what its name says, seen by a client that only knows sockets.

use std::time::{Duration, Instant};

use testbed::{Receiver, Reply};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const SOON: Duration = Duration::from_secs(10);

/// How a connection ended, from the client's side.
#[derive(Debug, PartialEq)]
enum End {
    Closed,
    Reset,
    /// Still open after `limit` bytes or a moment of silence.
    Open,
}

async fn connect(receiver: &Receiver) -> TcpStream {
    TcpStream::connect(receiver.address()).await.unwrap()
}

async fn post(stream: &mut TcpStream, path: &str, body: &str) {
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nX-Odd:  a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// Reads until the end, `limit` bytes, or 150 ms of silence.
async fn read(stream: &mut TcpStream, limit: usize) -> (String, End) {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        if all.len() >= limit {
            break End::Open;
        }
        match timeout(Duration::from_millis(150), stream.read(&mut buffer)).await {
            Err(_) => break End::Open,
            Ok(Ok(0)) => break End::Closed,
            Ok(Ok(count)) => all.extend_from_slice(&buffer[..count]),
            Ok(Err(error)) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                break End::Reset;
            }
        }
    };
    (String::from_utf8_lossy(&all).into_owned(), end)
}

#[tokio::test]
async fn each_fault_is_what_its_name_says() {
    let ms = Duration::from_millis;
    let ok = "HTTP/1.1 200 OK\r\n";
    let cases = [
        (Reply::Status(503), "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 11\r\n\r\nzq9-planted", End::Open),
        (Reply::Status(600), "HTTP/1.1 600 Unknown\r\n", End::Open),
        (Reply::redirect("file:///etc"), "HTTP/1.1 302 Found\r\nlocation: file:///etc\r\n", End::Open),
        (Reply::Body(200, b"hi".to_vec()), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", End::Open),
        (Reply::ThenClose(Box::new(Reply::Status(200))), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", End::Closed),
        (Reply::BeforeBody(413), "HTTP/1.1 413 Payload Too Large\r\n", End::Closed),
        (Reply::Hang, "", End::Open),
        (Reply::CloseWithoutByte, "", End::Closed),
        (Reply::Reset, "", End::Reset),
        (Reply::ResetMidHead, "HTTP/1.1 200 OK\r\ncontent-le", End::Reset),
        (Reply::ResetMidBody, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nzq9-planted-half", End::Reset),
        (Reply::TruncatedBody, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nzq9-planted-half", End::Closed),
        (Reply::BrokenChunk, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzq9-planted\r\n", End::Closed),
        (Reply::ssh_banner(), "SSH-2.0-", End::Closed),
        (Reply::EndlessBody, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n", End::Open),
        (Reply::EndlessHead, "HTTP/1.1 200 OK\r\nx-more: ", End::Open),
        (Reply::DripHead(ms(40)), "HTTP", End::Open),
        (Reply::DripBody(ms(40)), "HTTP/1.1 200 OK\r\ncontent-length: 65536\r\n\r\nxxx", End::Open),
        (Reply::InformationalFlood(3), "HTTP/1.1 103 Early Hints\r\n", End::Open),
        (Reply::ManyHeaders(150), ok, End::Open),
    ];
    let receiver = Receiver::start().await.unwrap();
    for (reply, begins, end) in cases {
        receiver.script("/", vec![reply.clone()]);
        let mut stream = connect(&receiver).await;
        post(&mut stream, "/", "{}").await;
        let limit = match reply {
            Reply::DripHead(_) => 4,
            Reply::DripBody(_) => 50,
            _ => 200,
        };
        let (text, end_seen) = read(&mut stream, limit).await;
        // what nobody must see, in every answer
        let seen = (text.replace("x-note: zq9-planted\r\n", ""), end_seen);
        assert!(seen.0.starts_with(begins) && seen.1 == end, "{reply:?}: {seen:?}");
    }
    // clients that went away have ended every request that was still open
    receiver.wait_until(|all| all.len() == 20 && all.iter().all(|one| one.finished.is_some()), SOON).await.unwrap();
}

#[tokio::test]
async fn scripts_run_out_or_repeat_and_requests_are_recorded_as_sent_on_a_kept_connection() {
    let receiver = Receiver::start().await.unwrap();
    receiver.script("/a", vec![Reply::Status(500)]);
    receiver.script_forever("/b", vec![Reply::Status(500), Reply::Status(503)]);
    let mut stream = connect(&receiver).await;
    let mut answers = String::new();
    for (path, body) in [("/a?x=1", "one"), ("/a", "two"), ("/b", ""), ("/b", ""), ("/b", "")] {
        post(&mut stream, path, body).await;
        answers += &read(&mut stream, 20).await.0;
    }
    let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect();
    assert_eq!(statuses, ["500", "200", "500", "503", "503"]);
    let chunked = b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    stream.write_all(chunked).await.unwrap();

    let all = receiver.wait_for("/c", 1, SOON).await.unwrap();
    assert_eq!((all[0].method.as_str(), all[0].body.as_ref()), ("PUT", b"abcde".as_slice()));
    let first = &receiver.requests("/a")[0];
    assert_eq!((first.index, first.connection, first.target.as_str()), (0, 0, "/a?x=1"));
    assert_eq!((first.headers[1].0.as_str(), first.header("x-odd")), ("X-Odd", Some("a")));
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_receiver_that_is_down_breaks_connections_and_refuses_new_ones_until_it_comes_up_on_its_port() {
    let receiver = Receiver::start().await.unwrap();
    receiver.script("/", vec![Reply::Hang]);
    let mut stream = connect(&receiver).await;
    post(&mut stream, "/", "{}").await;
    receiver.wait_for("/", 1, SOON).await.unwrap();
    for _ in 0..3 {
        receiver.go_down().await.unwrap();
        assert_ne!(read(&mut stream, 1).await.1, End::Open);
        let refused = TcpStream::connect(receiver.address()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        receiver.come_up().await.unwrap();
        stream = connect(&receiver).await;
        post(&mut stream, "/", "{}").await;
        assert!(read(&mut stream, 10).await.0.contains("200"));
    }
}

#[tokio::test]
async fn a_rule_answers_by_content_and_a_delay_is_kept() {
    let receiver = Receiver::start().await.unwrap();
    let late = Reply::Status(204).after(Duration::from_millis(120));
    receiver.rule(move |request| request.body.starts_with(b"poison").then(|| late.clone()));
    let mut stream = connect(&receiver).await;
    let started = Instant::now();
    post(&mut stream, "/", "poison pill").await;
    assert!(read(&mut stream, 10).await.0.contains("204"));
    assert!(started.elapsed() >= Duration::from_millis(120));
    post(&mut stream, "/", "water").await;
    assert!(read(&mut stream, 10).await.0.contains("200"));

    receiver.stays_quiet(Duration::from_millis(50)).await.unwrap();
    let error = receiver.wait_for("/", 9, Duration::from_millis(50)).await.unwrap_err();
    assert!(format!("{error:?}").contains("2 requests"), "{error:?}");
}
