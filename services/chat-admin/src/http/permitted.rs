//! What a handler works with: the desk, as far as it is there for who asks.
//!
//! A handler says what it does, and only credentials for that reach it. Whatever a request names is looked up here,
//! where it is another tenant's if it is not the credential's own.

use std::{future, marker::PhantomData, ops::Deref};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use goch_chassis::problem::Refusal;
use goch_contract::{Account, ChannelName, Error, ErrorCode, TenantName, Uid};
use serde::Deserialize;

use super::{Desk, authenticate::principal_of};
use crate::{
    credentials::Scope,
    principal::Principal,
    record::{ChannelRecord, MemberRecord},
};

/// What a handler does, which the credential has to be for.
pub(super) trait Deed {
    const SCOPE: Scope;
}

/// Shows what there is.
pub(super) struct Read;

/// Creates or changes something.
pub(super) struct Write;

/// Deletes a channel, or erases a person.
pub(super) struct Erase;

impl Deed for Read {
    const SCOPE: Scope = Scope::Read;
}

impl Deed for Write {
    const SCOPE: Scope = Scope::Write;
}

impl Deed for Erase {
    const SCOPE: Scope = Scope::Erase;
}

/// Whose people are asked for.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// The tenant whose account it is, for credentials of the whole installation; of no tenant if left out.
    #[param(nullable = false)]
    tenant: Option<String>,
}

/// The desk, for somebody whose credential is for what the handler does.
pub(super) struct Permitted<D> {
    desk: web::Data<Desk>,
    principal: Principal,
    deed: PhantomData<D>,
}

impl<D> Deref for Permitted<D> {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desk
    }
}

impl<D: Deed> FromRequest for Permitted<D> {
    type Error = Refusal;
    type Future = future::Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        future::ready(Self::of(request).map_err(Refusal))
    }
}

impl<D: Deed> Permitted<D> {
    fn of(request: &HttpRequest) -> Result<Self, Error> {
        let principal = principal_of(request)?;
        principal.expect(D::SCOPE)?;
        let desk = request.app_data::<web::Data<Desk>>().cloned();
        let desk = desk.ok_or_else(|| Error::new(ErrorCode::Internal, "the desk is not there"))?;
        Ok(Self { desk, principal, deed: PhantomData })
    }
}

impl<D> Permitted<D> {
    /// Who asks.
    pub(super) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whose webhooks are there for who asks; all of them for whoever operates the installation.
    pub(super) fn owner(&self) -> Option<TenantName> {
        self.principal.tenant.clone()
    }

    /// A channel's name, whether there is one or not.
    ///
    /// # Errors
    /// What is wrong with the name, or `not_found` for one that is another tenant's.
    pub(super) fn name(&self, name: &str) -> Result<ChannelName, Error> {
        let name = self.limits.parse_channel("name", name)?;
        let is_visible = self.rules.visible_to(&self.principal).has(&name);
        is_visible.then_some(name).ok_or_else(no_channel)
    }

    /// The name of a channel that is to be.
    ///
    /// # Errors
    /// What is wrong with the name, or `forbidden` for one that would be another tenant's.
    pub(super) fn new_name(&self, name: &str) -> Result<ChannelName, Error> {
        let name = self.limits.parse_channel("name", name)?;
        let visible = self.rules.visible_to(&self.principal);
        if visible.has(&name) {
            return Ok(name);
        }
        let message = format!("name must begin with {}", visible.prefix());
        Err(Error::of_field(ErrorCode::Forbidden, "name", message))
    }

    /// The account of a uid, of the tenant that is asked for or whose credential it is.
    ///
    /// # Errors
    /// What is wrong with the uid or with `tenant`.
    pub(super) fn account(&self, uid: &str, asked: &Asked) -> Result<Account, Error> {
        let uid = self.limits.parse_uid("uid", uid)?;
        Ok(self.rules.tenants.account(self.tenant(asked)?.as_ref(), &uid))
    }

    /// Whose people are asked for: those of the credential's own tenant, or of the one that whoever operates the
    /// installation names.
    ///
    /// # Errors
    /// `forbidden` for another tenant, `bad_request` for none, with the field `tenant`.
    pub(super) fn tenant(&self, asked: &Asked) -> Result<Option<TenantName>, Error> {
        let Some(name) = asked.tenant.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(self.principal.tenant.clone());
        };
        let tenant = TenantName::parse(name).ok();
        match (&self.principal.tenant, tenant) {
            (Some(own), Some(tenant)) if *own == tenant => Ok(Some(tenant)),
            (Some(_), _) => {
                let message = "this credential is of another tenant";
                Err(Error::of_field(ErrorCode::Forbidden, "tenant", message))
            }
            (None, Some(tenant)) if self.rules.tenants.has(&tenant) => Ok(Some(tenant)),
            (None, _) => Err(Error::bad_request("tenant", "there is no tenant of this name")),
        }
    }

    /// The channel that a path names.
    ///
    /// # Errors
    /// `not_found`, or what is wrong with the name.
    pub(super) async fn channel(&self, name: &str) -> Result<(ChannelName, ChannelRecord), Error> {
        let name = self.name(name)?;
        let channel = self.registry.channel(&name).await?.ok_or_else(no_channel)?;
        Ok((name, channel))
    }

    /// The channel and the uid that a path names; whether it is a member's is not looked at.
    ///
    /// # Errors
    /// As [`Self::channel`].
    pub(super) async fn channel_and_uid(
        &self,
        path: web::Path<(String, String)>,
    ) -> Result<(ChannelName, Uid), Error> {
        let (name, uid) = path.into_inner();
        let uid = self.limits.parse_uid("uid", &uid)?;
        let (channel, _) = self.channel(&name).await?;
        Ok((channel, uid))
    }

    /// A channel's member.
    ///
    /// # Errors
    /// `not_found` naming the field.
    pub(super) async fn member(
        &self,
        channel: &ChannelName,
        uid: &Uid,
    ) -> Result<MemberRecord, Error> {
        let member = self.registry.member(channel, uid).await?;
        let message = "there is no member of this uid";
        member.ok_or_else(|| Error::of_field(ErrorCode::NotFound, "uid", message))
    }
}

/// Also of a channel that is another tenant's.
fn no_channel() -> Error {
    Error::of_field(ErrorCode::NotFound, "name", "there is no channel of this name")
}
