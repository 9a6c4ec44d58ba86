//! What a token's claims mean here.

use std::{sync::Arc, time::Duration};

use goch_contract::{
    ChannelName, ChannelScope, Error, Role, Roles, Uid, UnixMillis, limits::Limits,
};
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Audience, LEEWAY_SECONDS, TokenConfig, keys::Refused};
use crate::profile::Profile;

/// The claims that are read, but for who it is. Times, issuer and audience are checked before.
#[derive(Debug, Deserialize)]
struct Claims {
    name: Option<String>,
    email: Option<Value>,
    /// A boolean (`OpenID` Connect Core 1.0, 5.1), which some providers give as a string.
    email_verified: Option<Value>,
    channels: Option<Vec<String>>,
    role: Option<String>,
    /// Unix seconds, which RFC 7519 allows to have a fraction.
    exp: f64,
}

/// Who a token stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TokenUser {
    pub(crate) uid: Uid,
    pub(crate) display_name: Option<String>,
    /// For ticketing only.
    pub(crate) email: Option<String>,
    pub(crate) role: Option<Role>,
    pub(crate) expires_at: UnixMillis,
    /// The channels of whose keys have signed.
    scope: Arc<ChannelScope>,
    channels: Channels,
}

#[derive(Debug, PartialEq, Eq)]
enum Channels {
    Any,
    These(Vec<String>),
}

impl TokenUser {
    /// Whether the token is for this channel.
    pub(crate) fn may_use(&self, channel: &ChannelName) -> bool {
        let is_named = match &self.channels {
            Channels::Any => true,
            Channels::These(names) => names.iter().any(|name| name == channel.as_str()),
        };
        is_named && self.scope.has(channel)
    }

    /// Whether the others know the user by the name and the role that the token says.
    pub(crate) fn is_known_as(&self, profile: &Profile) -> bool {
        let role = self.role.clone().unwrap_or_else(Role::member);
        let is_called = |name: &String| *name == profile.display_name;
        role == profile.role && self.display_name.as_ref().is_none_or(is_called)
    }

    pub(crate) fn has_expired(&self, now: UnixMillis) -> bool {
        has_expired(self.expires_at, now)
    }
}

/// Whether a token that expires then has expired, whoever's clock is right.
pub(crate) fn has_expired(expires_at: UnixMillis, now: UnixMillis) -> bool {
    now.0 >= expires_at.0.saturating_add(LEEWAY_SECONDS * 1_000)
}

/// What is asked of every token.
#[derive(Debug)]
pub(super) struct Rules {
    issuer: Option<String>,
    audience: Audience,
    lifetime_max: Duration,
    uid_claim: String,
    scope: Arc<ChannelScope>,
    roles: Roles,
    limits: Limits,
}

impl Rules {
    /// Rules of tokens for channels of `scope`.
    pub(super) fn new(
        config: &TokenConfig,
        scope: ChannelScope,
        roles: &Roles,
        limits: &Limits,
    ) -> Self {
        Self {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            lifetime_max: config.lifetime_max,
            uid_claim: config.uid_claim.clone(),
            scope: Arc::new(scope),
            roles: roles.clone(),
            limits: limits.clone(),
        }
    }

    /// The registered claims (RFC 7519, 4.1) that a token signed with `algorithm` must satisfy.
    pub(super) fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.validate_aud = matches!(self.audience, Audience::Named(_));
        let mut required = vec!["exp"];
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Audience::Named(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// The user of checked claims.
    pub(super) fn user(&self, claims: Value, now: UnixMillis) -> Result<TokenUser, Refused> {
        let uid = self.uid(&claims)?;
        let claims: Claims = serde_json::from_value(claims).map_err(|_| Refused::Claims)?;
        if let Some(name) = &claims.name {
            self.limits.check_display_name("name", name).map_err(unusable)?;
        }
        // What nobody has looked at may be anybody's address. One that cannot be used is no reason to keep its
        // owner out.
        let is_unverified = |verified: &Value| *verified == json!(false) || *verified == "false";
        let email = claims.email.as_ref().and_then(Value::as_str).filter(|email| {
            !email.is_empty()
                && Limits::check_email("email", email).is_ok()
                && !claims.email_verified.as_ref().is_some_and(is_unverified)
        });
        let email = email.map(str::to_owned);
        let expires_at = Duration::try_from_secs_f64(claims.exp)
            .ok()
            .and_then(|since_epoch| u64::try_from(since_epoch.as_millis()).ok())
            .map(UnixMillis)
            .ok_or(Refused::Claim("exp".into()))?;
        let lifetime = Duration::from_millis(expires_at.0.saturating_sub(now.0));
        // A token cannot be taken back, so it must not last.
        if !self.lifetime_max.is_zero() && lifetime > self.lifetime_max {
            return Err(Refused::TooLasting(self.lifetime_max.as_secs()));
        }
        let role = claims.role.map(|role| self.roles.find("role", &role)).transpose();
        let role = role.map_err(unusable)?;
        let is_silent = role.as_ref().is_some_and(|role| self.roles.is_silent(role));
        let channels = match claims.channels {
            // An agent may use any channel there is for these keys, and who only hears any that the token does not keep
            // from it.
            _ if role == Some(Role::agent()) => Channels::Any,
            None if is_silent => Channels::Any,
            channels => Channels::These(channels.unwrap_or_default()),
        };
        let scope = Arc::clone(&self.scope);
        Ok(TokenUser { uid, display_name: claims.name, email, role, expires_at, scope, channels })
    }

    /// Who it is: a string, or a number that products count their users with.
    fn uid(&self, claims: &Value) -> Result<Uid, Refused> {
        let claim = &self.uid_claim;
        let uid = match claims.get(claim) {
            Some(Value::String(uid)) => self.limits.parse_uid("uid", uid),
            Some(Value::Number(uid)) if uid.is_u64() => {
                self.limits.parse_uid("uid", &uid.to_string())
            }
            _ => return Err(Refused::Claim(claim.clone().into())),
        };
        uid.map_err(|error| {
            let reason = error.message.strip_prefix("uid").unwrap_or(&error.message);
            Refused::Unusable(format!("{claim}{reason}").into())
        })
    }
}

fn unusable(error: Error) -> Refused {
    Refused::Unusable(error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_says_which_claim_is_who_it_is() {
        let user = |uid_claim: &str, claims: &Value| {
            let config = TokenConfig {
                lifetime_max: Duration::ZERO,
                uid_claim: uid_claim.to_owned(),
                ..TokenConfig::default()
            };
            let rules =
                Rules::new(&config, ChannelScope::default(), &Roles::default(), &Limits::default());
            rules.user(claims.clone(), UnixMillis::now()).map(|user| user.uid.to_string())
        };
        let claims = json!({"sub": "auth0|5f7c", "email": "ann@example.org", "user_id": 42,
                            "https://example.org/id": "a b", "exp": 2e9});
        for (claim, uid) in [("sub", "auth0|5f7c"), ("email", "ann@example.org"), ("user_id", "42")]
        {
            assert_eq!(user(claim, &claims).unwrap(), uid);
        }
        assert_eq!(user("oid", &claims), Err(Refused::Claim("oid".into())));
        let unusable = user("https://example.org/id", &claims).unwrap_err().to_string();
        assert!(
            unusable.starts_with("the token's claim https://example.org/id may only"),
            "{unusable}"
        );
    }

    #[test]
    fn an_address_that_nobody_has_verified_or_could_use_is_not_taken() {
        let config = TokenConfig { lifetime_max: Duration::ZERO, ..TokenConfig::default() };
        let rules =
            Rules::new(&config, ChannelScope::default(), &Roles::default(), &Limits::default());
        let email = |more: Value| {
            let mut claims = json!({"sub": "ann", "email": "ann@example.org", "exp": 2e9});
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            rules.user(claims, UnixMillis::now()).map(|user| user.email)
        };
        let known = Some("ann@example.org".to_owned());
        assert_eq!(email(json!({})), Ok(known.clone()));
        assert_eq!(email(json!({"email_verified": true})), Ok(known));
        for nothing in [
            json!({"email_verified": false}),
            json!({"email_verified": "false"}),
            json!({"email": ""}),
            json!({"email": "ann"}),
            json!({"email": ["ann@example.org"]}),
        ] {
            assert_eq!(email(nothing), Ok(None));
        }
    }

    #[test]
    fn only_an_agent_may_use_any_channel() {
        let channel = ChannelName::parse("c").unwrap();
        let rules = Rules::new(
            &TokenConfig { lifetime_max: Duration::ZERO, ..TokenConfig::default() },
            ChannelScope::default(),
            &Roles::default(),
            &Limits::default(),
        );
        let user = |role: Option<&str>| {
            rules.user(json!({"sub": "ann", "role": role, "exp": 2e9}), UnixMillis::now())
        };
        assert!(user(Some("agent")).unwrap().may_use(&channel));
        for role in [Some("member"), Some("guest"), Some("system"), None] {
            let user = user(role).unwrap();
            assert!(!user.may_use(&channel));
            assert_eq!(user.role.as_ref().map(Role::as_str), role);
        }
        // Nobody knows what a product means by another word.
        for role in ["Agent", "admin", ""] {
            assert!(matches!(user(Some(role)), Err(Refused::Unusable(_))), "{role}");
        }
    }

    #[test]
    fn who_only_hears_may_use_any_channel_that_the_token_does_not_keep_from_it() {
        let known = Roles::parse("supervisor,lead").unwrap().with_silent("supervisor").unwrap();
        let rules = Rules::new(
            &TokenConfig::default(),
            ChannelScope::default(),
            &known,
            &Limits::default(),
        );
        let may_use = |role: &str, channels: Option<&str>| {
            let mut claims = json!({"sub": "ann", "exp": 2e9, "role": role});
            if let Some(channel) = channels {
                claims["channels"] = json!([channel]);
            }
            let user = rules.user(claims, UnixMillis(1_999_999_990_000)).unwrap();
            user.may_use(&ChannelName::parse("c").unwrap())
        };
        assert!(may_use("supervisor", None) && may_use("supervisor", Some("c")));
        assert!(!may_use("supervisor", Some("d")));
        assert!(!may_use("lead", None) && may_use("lead", Some("c")));
    }

    /// A user who is called Ann and may use the channel `c`.
    fn ann(role: Option<Role>, expires_at: u64) -> TokenUser {
        TokenUser {
            uid: Uid::parse("ann").unwrap(),
            display_name: Some("Ann".to_owned()),
            email: None,
            role,
            expires_at: UnixMillis(expires_at),
            scope: Arc::default(),
            channels: Channels::These(vec!["c".to_owned()]),
        }
    }

    #[test]
    fn a_token_is_believed_until_its_end_and_as_long_beyond_as_clocks_may_differ() {
        let user = ann(None, 1_000_000);
        assert!(!user.has_expired(UnixMillis(1_000_000 + 4_999)));
        assert!(user.has_expired(UnixMillis(1_000_000 + 5_000)));
        assert!(!has_expired(UnixMillis(u64::MAX), UnixMillis(2_000_000)));
    }

    #[test]
    fn a_user_is_known_as_the_token_says_if_name_and_role_are_the_same() {
        let profile = |display_name: &str, role| Profile {
            uid: Uid::parse("ann").unwrap(),
            membership: goch_contract::MembershipId::parse("a").unwrap(),
            kind: goch_contract::PersonKind::Account,
            display_name: display_name.to_owned(),
            role,
        };
        let user = ann(Some(Role::agent()), 1);
        assert!(user.is_known_as(&profile("Ann", Role::agent())));
        assert!(!user.is_known_as(&profile("Ann", Role::member())));
        assert!(!user.is_known_as(&profile("Anna", Role::agent())));
        // A token that says nothing changes no name, and is a member's.
        let user = TokenUser { display_name: None, ..ann(None, 1) };
        assert!(user.is_known_as(&profile("Anna", Role::member())));
        assert!(!user.is_known_as(&profile("Anna", Role::guest())));
    }

    #[test]
    fn a_token_may_last_exactly_as_long_as_allowed_and_for_ever_without_a_limit() {
        let user = |lifetime_max, lasts_ms: f64| {
            let config = TokenConfig { lifetime_max, ..TokenConfig::default() };
            let rules =
                Rules::new(&config, ChannelScope::default(), &Roles::default(), &Limits::default());
            let exp = 2e9 + lasts_ms / 1_000.0;
            let user = rules.user(json!({"sub": "ann", "exp": exp}), UnixMillis(2_000_000_000_000));
            user.map(|user| user.expires_at.0)
        };
        let minute = Duration::from_mins(1);
        assert_eq!(user(minute, 60_000.0), Ok(2_000_000_060_000));
        assert_eq!(user(minute, 60_500.0), Err(Refused::TooLasting(60)));
        assert_eq!(user(Duration::ZERO, 1e12), Ok(3_000_000_000_000));
    }
}
