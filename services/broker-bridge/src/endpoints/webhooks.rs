//! What chat-admin asks and changes about webhooks.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::webhooks::{
    ChangeWebhook, CreateWebhook, DeadLetters, DeleteWebhook, ReplayDeadLetters,
    RotateWebhookSecret, Webhooks as ListWebhooks,
};

use crate::webhooks::Webhooks;

macro_rules! serve {
    ($endpoints:ident, $webhooks:ident, $($request:ty => $method:ident),*) => {
        $({
            let webhooks = $webhooks.clone();
            let answer = move |request: $request| {
                let webhooks = webhooks.clone();
                async move { webhooks.$method(request).await }
            };
            $endpoints.serve(answer).await?;
        })*
    };
}

pub(super) async fn serve(endpoints: &Endpoints, webhooks: Webhooks) -> Result<(), StartError> {
    serve!(endpoints, webhooks,
        CreateWebhook => create,
        ListWebhooks => all,
        ChangeWebhook => change,
        RotateWebhookSecret => rotate_secret,
        DeleteWebhook => delete,
        DeadLetters => dead_letters,
        ReplayDeadLetters => replay_dead_letters
    );
    Ok(())
}
