//! `roster`: who is a member, as ticketing sees them?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::admin::Roster;

use crate::{record::MemberRecord, registry::Registry};

pub(super) async fn serve(endpoints: &Endpoints, registry: Registry) -> Result<(), StartError> {
    let answer = move |request: Roster| {
        let registry = registry.clone();
        async move {
            if registry.channel(&request.channel).await?.is_none() {
                return Ok(Vec::new());
            }
            let members = registry.members(&request.channel).await?;
            Ok(members.into_iter().map(MemberRecord::into_admin).collect())
        }
    };
    endpoints.serve(answer).await
}
