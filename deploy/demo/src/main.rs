//! A small ticketing system on Goch: a ticket is a channel. It shows what a product's own backend
//! has to do, and knows of Goch only what its documents say.
//!
//! To read it: [`goch`] asks chat-admin, [`webhooks`] hears what happens, [`tickets`] keeps both.

mod config;
mod failure;
mod goch;
mod http;
mod registration;
mod secrets;
mod tickets;
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
    let goch = Goch::new(&config)?;
    let tickets = web::Data::new(Tickets::new(&config.gateway_url));
    // From here on requests wait for an answer, Goch's first one too.
    let listener = std::net::TcpListener::bind(config.listen_address)?;
    let secrets = registration::register(&goch, &config).await?;
    let verifier = web::Data::new(Verifier::new(secrets, config.webhook_file)?);
    let goch = web::Data::new(goch);
    tracing::info!(address = %config.listen_address, "serving tickets");
    let server = HttpServer::new(move || {
        App::new()
            .app_data(goch.clone())
            .app_data(tickets.clone())
            .app_data(verifier.clone())
            .configure(http::configure)
    });
    server.workers(1).listen(listener)?.run().await?;
    Ok(())
}
