//! One request through the proxy: recorded, met by its fault or sent on, answered.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::{Fault, Injected, Moment, Seen, Shared, fault, stream};

pub(super) type AnyError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Body = BoxBody<Bytes, AnyError>;

/// An error closes the connection without an answer.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, AnyError> {
    let text = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let seen = Seen {
        at: Instant::now(),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        user_agent: text(header::USER_AGENT).unwrap_or_default().to_owned(),
        accept: text(header::ACCEPT).unwrap_or_default().to_owned(),
        bytes: text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()).unwrap_or_default(),
        status: None,
    };
    let (index, injected) = shared.begin(&seen);
    let response = match &injected {
        Some(injected) => Box::pin(fail(&shared, &seen, request, injected, &injected.fault)).await?,
        None => forward(&shared, &seen, request.map(any_body), None).await?,
    };
    shared.answered(index, response.status().as_u16());
    Ok(response)
}

async fn fail(
    shared: &Arc<Shared>,
    seen: &Seen,
    request: Request<Incoming>,
    injected: &Injected,
    fault: &Fault,
) -> Result<Response<Body>, AnyError> {
    match fault {
        Fault::Status(code) => refused(*code),
        Fault::PlainStatus(code, text) => whole(*code, "text/plain; charset=utf-8", text.clone().into()),
        Fault::WatchError(code) => {
            let mut line = fault::error_event(*code);
            line.push(b'\n');
            whole(200, "application/json", line.into())
        }
        Fault::Stale => {
            let known = injected.lists.get(&key(seen));
            if let Some(body) = known {
                whole(200, "application/json", body.clone())
            } else {
                // never a fresh answer under the name of a stale one
                let status = fault::status(500, &format!("the fault proxy remembers no answer to {}", key(seen)));
                whole(500, "application/json", status.to_string().into())
            }
        }
        Fault::Hang => std::future::pending().await,
        Fault::Close => Err("closed by the fault proxy".into()),
        Fault::Delay(delay) => {
            tokio::time::sleep(*delay).await;
            forward(shared, seen, request.map(any_body), None).await
        }
        Fault::DoneThenStatus(code) => {
            done(shared, seen, request).await?;
            refused(*code)
        }
        Fault::DoneThenHang => {
            done(shared, seen, request).await?;
            std::future::pending().await
        }
        Fault::DoneThenClose => {
            done(shared, seen, request).await?;
            Err("closed by the fault proxy".into())
        }
        Fault::Hold(moment, hold) => {
            let request = in_whole(request).await?;
            let (shared, seen, moment, hold) = (Arc::clone(shared), seen.clone(), *moment, hold.clone());
            // in a task of its own: it goes on when the client is gone
            let passage = tokio::spawn(async move {
                match moment {
                    Moment::Before => {
                        hold.pass(&seen).await?;
                        forward(&shared, &seen, request, None).await
                    }
                    Moment::After => {
                        let answer = forward(&shared, &seen, request, None).await?;
                        let (parts, body) = answer.into_parts();
                        let body = body.collect().await?.to_bytes();
                        hold.pass(&seen).await?;
                        Ok(Response::from_parts(parts, full(body)))
                    }
                }
            });
            passage.await?
        }
        Fault::CutAfterLines(_)
        | Fault::EndAfterLines(_)
        | Fault::EditBody(_)
        | Fault::Lines(_)
        | Fault::Elsewhere(_) => forward(shared, seen, request.map(any_body), Some(fault)).await,
    }
}

fn any_body(body: Incoming) -> Body {
    body.map_err(Into::into).boxed()
}

async fn in_whole(request: Request<Incoming>) -> Result<Request<Body>, AnyError> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Request::from_parts(parts, full(body)))
}

/// Sends the request on and forgets the answer.
async fn done(shared: &Arc<Shared>, seen: &Seen, request: Request<Incoming>) -> Result<(), AnyError> {
    let answer = forward(shared, seen, request.map(any_body), None).await?;
    // what is not read to its end may not have happened
    answer.into_body().collect().await?;
    Ok(())
}

fn refused(code: u16) -> Result<Response<Body>, AnyError> {
    let status = fault::status(code, "injected by the fault proxy");
    whole(code, "application/json", status.to_string().into())
}

/// Sends the request on, and gives the answer with what the fault makes of it.
async fn forward(
    shared: &Arc<Shared>,
    seen: &Seen,
    mut request: Request<Body>,
    fault: Option<&Fault>,
) -> Result<Response<Body>, AnyError> {
    let upstream = match fault {
        Some(Fault::Elsewhere(address)) => *address,
        _ => shared.upstream,
    };
    // lines and bodies are looked at, so they must come as text
    request.headers_mut().remove(header::ACCEPT_ENCODING);
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(&upstream.to_string())?);
    let tcp = TcpStream::connect(upstream).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::from(upstream.ip());
    let tls = shared.tls.connect(name, tcp).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
    // ends with the answer's body, or when the answer is dropped
    tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let is_list = seen.method == "GET" && parts.status == 200;
    let body: Body = if seen.is_watch() && parts.status == 200 {
        stream::lines(Arc::clone(shared), seen.clone(), body, fault)
    } else if is_list || matches!(fault, Some(Fault::EditBody(_))) {
        let bytes = body.collect().await?.to_bytes();
        if is_list {
            shared.lock().lists.insert(key(seen), bytes.clone());
        }
        let bytes = match fault {
            Some(Fault::EditBody(edit)) => edit(bytes.to_vec()).into(),
            _ => bytes,
        };
        let mut response = Response::from_parts(parts, full(bytes));
        response.headers_mut().remove(header::CONTENT_LENGTH);
        return Ok(response);
    } else {
        body.map_err(Into::into).boxed()
    };
    Ok(Response::from_parts(parts, body))
}

/// Under what a list is remembered.
fn key(seen: &Seen) -> String {
    format!("{}?{}", seen.path, seen.query)
}

fn whole(status: u16, content_type: &str, body: Bytes) -> Result<Response<Body>, AnyError> {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, content_type);
    Ok(response.body(full(body))?)
}

fn full(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed()
}
