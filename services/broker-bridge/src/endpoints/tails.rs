//! `tails`: where do these channels end?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::{
    Error,
    services::broker::{TAILS_MAX, Tails},
};

use crate::replay::Replay;

pub(super) async fn serve(endpoints: &Endpoints, replay: Replay) -> Result<(), StartError> {
    let answer = move |request: Tails| {
        let replay = replay.clone();
        async move {
            if request.channels.len() > TAILS_MAX {
                let reason = format!("at most {TAILS_MAX} channels can be asked for at once");
                return Err(Error::bad_request("channels", reason));
            }
            replay.tails(&request.channels).await
        }
    };
    endpoints.serve(answer).await
}
