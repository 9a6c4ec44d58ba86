//! Which page of a list of people is asked for.

use goch_contract::{Error, Uid, limits::Limits};
use serde::Deserialize;

use super::limit_within;
use crate::registry::MEMBERS_MAX;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// The page begins after this uid.
    #[param(value_type = Option<Uid>, nullable = false)]
    after: Option<String>,
    /// The most entries of the page; 1,000 if left out.
    #[param(minimum = 1, maximum = 1000, default = 1000, nullable = false)]
    limit: Option<u64>,
}

impl Query {
    /// After whom, and how many at most.
    ///
    /// # Errors
    /// Names the parameter and the rule it breaks.
    pub(super) fn page(&self, limits: &Limits) -> Result<(Option<Uid>, usize), Error> {
        let after = self.after.as_deref().filter(|after| !after.is_empty());
        let after = after.map(|after| limits.parse_uid("after", after)).transpose()?;
        Ok((after, limit_within(self.limit, MEMBERS_MAX, MEMBERS_MAX)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(after: Option<&str>, limit: Option<u64>) -> Result<(Option<Uid>, usize), Error> {
        Query { after: after.map(str::to_owned), limit }.page(&Limits::default())
    }

    #[test]
    fn a_page_has_1_to_1000_people_and_all_of_them_if_nobody_says() {
        assert_eq!(page(None, None), Ok((None, 1_000)));
        assert_eq!(page(Some(""), Some(1)), Ok((None, 1)));
        assert_eq!(page(Some("ann"), Some(1_000)), Ok((Uid::parse("ann").ok(), 1_000)));
        for limit in [0, 1_001, u64::MAX] {
            assert_eq!(page(None, Some(limit)).unwrap_err().field.as_deref(), Some("limit"));
        }
        assert_eq!(page(Some("a b"), None).unwrap_err().field.as_deref(), Some("after"));
    }
}
