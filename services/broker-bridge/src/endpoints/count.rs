//! `count`: how many messages of others lie between sequences?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::{
    Error,
    services::broker::{Count, SPANS_MAX},
};

use crate::replay::Replay;

pub(super) async fn serve(endpoints: &Endpoints, replay: Replay) -> Result<(), StartError> {
    let answer = move |request: Count| {
        let replay = replay.clone();
        async move {
            if request.spans.len() > SPANS_MAX {
                let reason = format!("at most {SPANS_MAX} spans can be asked for at once");
                return Err(Error::bad_request("spans", reason));
            }
            replay.count(&request.channel, &request.spans).await
        }
    };
    endpoints.serve(answer).await
}
