//! A page of a channel: from history, or from the log when history is away.

use goch_contract::{
    ChannelName, Error, Seq,
    services::{
        broker::LogPage,
        history::{Page, PageRequest, Window},
    },
};

use crate::ServiceClient;

/// Asks history first. Up to `revised_through` every edit and deletion is in what the page shows.
///
/// # Errors
/// `unavailable` when the log cannot be read either.
pub(crate) async fn read(
    services: &ServiceClient,
    channel: &ChannelName,
    window: Window,
    limit: u32,
    revised_through: Seq,
) -> Result<Page, Error> {
    let channel_asked = channel.clone();
    let request =
        PageRequest { channel: channel_asked, window, limit, fresh: false, revised_through };
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
