//! The face of the ticket system.

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};
use serde::Deserialize;

use crate::{
    failure::Failure,
    goch::Goch,
    tickets::{Tickets, channel_of},
    webhooks,
};

/// Bytes of the largest webhook: a message has at most 64 Ki characters and as much `meta`.
const WEBHOOK_BYTES_MAX: usize = 1024 * 1024;

/// Adds every route.
pub(crate) fn configure(app: &mut ServiceConfig) {
    app.app_data(web::PayloadConfig::new(WEBHOOK_BYTES_MAX))
        .route("/tickets", web::post().to(open))
        .route("/tickets/{id}", web::get().to(show))
        .route("/tickets/{id}/solve", web::post().to(solve))
        .route("/webhooks", web::post().to(webhooks::receive))
        .route("/webhooks/secret", web::post().to(webhooks::rotate));
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
    let secret = goch.create_channel(&channel_of(id)).await?;
    Ok(HttpResponse::Created().json(tickets.open(id, body.into_inner().subject, secret)))
}

/// `GET /tickets/{id}`: a ticket, and what was heard of it.
async fn show(tickets: web::Data<Tickets>, id: web::Path<u64>) -> Result<HttpResponse, Failure> {
    Ok(HttpResponse::Ok().json(tickets.show(*id)?))
}

/// `POST /tickets/{id}/solve`: says so, closes the channel, and keeps what was said. Each step can be
/// done again, so a request that failed half-way is simply repeated.
async fn solve(
    goch: web::Data<Goch>,
    tickets: web::Data<Tickets>,
    id: web::Path<u64>,
) -> Result<HttpResponse, Failure> {
    let channel = tickets.show(*id)?.channel;
    match goch.say(&channel, "solved", "This ticket is solved. Thank you!").await {
        // It was said when the channel was closed.
        Err(Failure::Refused(problem)) if problem.code == "channel_closed" => {}
        said => said?,
    }
    goch.close(&channel).await?;
    let transcript = goch.transcript(&channel).await?;
    Ok(HttpResponse::Ok().json(tickets.solve(*id, transcript)?))
}
