//! A small ticketing system on Goch: a ticket is a channel. It shows what a product's own backend
//! has to do, and knows of Goch only what its documents say.
//!
//! To read it: [`goch`] asks chat-admin, [`token`] says who somebody is, [`webhooks`] hears what happens,
//! [`tickets`] keeps it all.

mod config;
mod failure;
mod goch;
mod http;
mod registration;
mod tickets;
mod token;
mod webhooks;

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use actix_web::{App, HttpServer, web};

use crate::{config::Config, goch::Goch, tickets::Tickets, webhooks::Verifier};

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_target(false).with_ansi(false).init();
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "ticketing-demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<(), Box<dyn Error>> {
    // The HTTP client asks for a provider of cryptography, and there may be one per process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Config::from_environment()?;
    let verifier = web::Data::new(Verifier::new(&config.webhook_secret)?);
    let goch = Goch::new(&config)?;
    let tickets = web::Data::new(Tickets::new());
    // From here on requests wait for an answer, Goch's first one too.
    let listener = std::net::TcpListener::bind(config.listen_address)?;
    registration::register(&goch, &config).await?;
    tracing::info!(address = %config.listen_address, "serving tickets");
    let (goch, config) = (web::Data::new(goch), web::Data::new(config));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(goch.clone())
            .app_data(tickets.clone())
            .app_data(verifier.clone())
            .app_data(config.clone())
            .configure(http::configure)
    });
    server.workers(1).listen(listener)?.run().await?;
    Ok(())
}
