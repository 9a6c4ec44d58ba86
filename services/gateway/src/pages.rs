//! A page of a channel: from history, or from the log when history is away.

use goch_contract::{
    ChannelName, Error,
    services::{
        broker::LogPage,
        history::{Page, PageRequest, Window},
    },
};

use crate::ServiceClient;

/// Asks history first.
///
/// # Errors
/// `unavailable` when the log cannot be read either.
pub(crate) async fn read(
    services: &ServiceClient,
    channel: &ChannelName,
    window: Window,
    limit: u32,
) -> Result<Page, Error> {
    let request = PageRequest { channel: channel.clone(), window, limit, fresh: false };
    match services.call(&request).await {
        Ok(page) => Ok(page),
        Err(error) => {
            tracing::debug!(%channel, %error, "a page comes from the log");
            read_log(services, channel, window, limit).await
        }
    }
}

/// Asks the log, which unlike history cannot lag behind.
///
/// # Errors
/// `unavailable` when it cannot be read.
pub(crate) async fn read_log(
    services: &ServiceClient,
    channel: &ChannelName,
    window: Window,
    limit: u32,
) -> Result<Page, Error> {
    services.call(&LogPage::shown(channel.clone(), window, limit)).await
}
