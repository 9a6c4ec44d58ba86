//! The face of the ticket system.

use actix_web::{
    HttpResponse,
    http::header::ContentType,
    web::{self, ServiceConfig},
};
use serde::Deserialize;

use crate::{
    config::Config,
    failure::Failure,
    goch::{Goch, has_said},
    tickets::{Person, Tickets, channel_of},
    token::chat_token,
    webhooks,
};

/// The `id` of the last message.
const SOLVED: &str = "solved";

/// Bytes of the largest webhook: a message has at most 64 Ki characters and as much `meta`.
const WEBHOOK_BYTES_MAX: usize = 1024 * 1024;

/// Adds every route.
pub(crate) fn configure(app: &mut ServiceConfig) {
    app.app_data(web::PayloadConfig::new(WEBHOOK_BYTES_MAX))
        .route("/tickets", web::post().to(open))
        .route("/tickets/{id}", web::get().to(show))
        .route("/tickets/{id}/people/{uid}", web::put().to(put_in))
        .route("/tickets/{id}/people/{uid}/", web::get().to(page))
        .route("/tickets/{id}/people/{uid}/token", web::get().to(token))
        .route("/tickets/{id}/solve", web::post().to(solve))
        .route("/webhooks", web::post().to(webhooks::receive));
}

#[derive(Deserialize)]
struct OpenBody {
    subject: String,
}

/// `POST /tickets`: a ticket is opened, and with it its channel.
async fn open(
    goch: web::Data<Goch>,
    tickets: web::Data<Tickets>,
    body: web::Json<OpenBody>,
) -> Result<HttpResponse, Failure> {
    let id = tickets.new_id()?;
    goch.create_channel(&channel_of(id), &random_secret()?).await?;
    Ok(HttpResponse::Created().json(tickets.open(id, body.into_inner().subject)))
}

/// `GET /tickets/{id}`: a ticket, and what was heard of it.
async fn show(tickets: web::Data<Tickets>, id: web::Path<u64>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(tickets.show(*id)?))
}

/// `PUT /tickets/{id}/people/{uid}`: the customer, or an agent, before they have ever connected.
async fn put_in(
    goch: web::Data<Goch>,
    tickets: web::Data<Tickets>,
    path: web::Path<(u64, String)>,
    person: web::Json<Person>,
) -> Result<HttpResponse, Failure> {
    let ((id, uid), person) = (path.into_inner(), person.into_inner());
    let channel = tickets.show(id)?.channel;
    goch.put_in(&channel, &uid, &person).await?;
    Ok(HttpResponse::Ok().json(tickets.put_in(id, uid, person)?))
}

/// `GET /tickets/{id}/people/{uid}/`: the page that somebody sees. Nothing that people have chosen stands in it.
async fn page(
    config: web::Data<Config>,
    tickets: web::Data<Tickets>,
    path: web::Path<(u64, String)>,
) -> Result<HttpResponse, Failure> {
    let (id, uid) = path.into_inner();
    tickets.name_of(id, &uid)?;
    let (gateway, channel) = (config.gateway_url.trim_end_matches('/'), channel_of(id));
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Ticket {id}</title>\n\
         <script type=\"module\" src=\"{gateway}/widget.js\"></script>\n\
         <goch-chat channel=\"{channel}\" token-url=\"token\" open></goch-chat>\n"
    );
    Ok(HttpResponse::Ok().content_type(ContentType::html()).body(html))
}

/// `GET /tickets/{id}/people/{uid}/token`: what the page asks for. A product looks at its own session who asks.
async fn token(
    config: web::Data<Config>,
    tickets: web::Data<Tickets>,
    path: web::Path<(u64, String)>,
) -> Result<HttpResponse, Failure> {
    let (id, uid) = path.into_inner();
    let name = tickets.name_of(id, &uid)?;
    let token = chat_token(&config.token_secret, &uid, &name, &channel_of(id));
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(token))
}

/// `POST /tickets/{id}/solve`: says so, closes the channel, and keeps what was said. Each step can be done again, so a
/// request that failed half-way is simply repeated, whenever that is.
async fn solve(
    goch: web::Data<Goch>,
    tickets: web::Data<Tickets>,
    id: web::Path<u64>,
) -> Result<HttpResponse, Failure> {
    let channel = tickets.show(*id)?.channel;
    // Goch recognises a message's `id` for two minutes, and this may be the second attempt of an hour later.
    let before = goch.transcript(&channel).await?;
    if before["closed_at"].is_null() && !has_said(&before, SOLVED) {
        match goch.say(&channel, SOLVED, "This ticket is solved. Thank you!").await {
            // It was said when the channel was closed: somebody else has just done the same.
            Err(Failure::Refused(problem)) if problem.code == "channel_closed" => {}
            said => said?,
        }
    }
    goch.close(&channel).await?;
    let transcript = goch.transcript(&channel).await?;
    Ok(HttpResponse::Ok().json(tickets.solve(*id, transcript)?))
}

/// 160 random bits in hexadecimal digits.
fn random_secret() -> Result<String, Failure> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}
