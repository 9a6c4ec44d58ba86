//! `roster`: who is a member, as ticketing sees them?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::admin::{Roster, RosterPage};

use crate::{
    record::MemberRecord,
    registry::{MEMBERS_MAX, Registry},
};

pub(super) async fn serve(endpoints: &Endpoints, registry: Registry) -> Result<(), StartError> {
    let answer = move |request: Roster| {
        let registry = registry.clone();
        async move {
            if registry.channel(&request.channel).await?.is_none() {
                return Ok(RosterPage::default());
            }
            let after = request.after.as_ref();
            let page = registry.members(&request.channel, after, MEMBERS_MAX).await?;
            let members = page.members.into_iter().map(MemberRecord::into_admin).collect();
            Ok(RosterPage { members, more: page.more })
        }
    };
    endpoints.serve(answer).await
}
