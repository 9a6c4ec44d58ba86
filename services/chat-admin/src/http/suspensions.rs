//! `/v1/admin/accounts/{uid}/suspension` and `/v1/admin/suspensions`: accounts that may not use any channel.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    Uid,
    rest::{Suspension, SuspensionsBody},
    schemas::problems::NotFound,
};

use super::{Asked, LoggedIn, Permitted, Read, Write, by_uid::Query};
use crate::suspensions::not_suspended;

/// Suspends an account, which need not be a member anywhere.
#[utoipa::path(
    put,
    path = "/accounts/{uid}/suspension",
    tag = "personal data",
    params(("uid" = Uid, Path, description = "The account."), Asked),
    responses((status = 200, description = "The suspension.", body = Suspension)),
)]
pub(super) async fn suspend(
    desk: Permitted<Write>,
    LoggedIn(actor): LoggedIn,
    uid: web::Path<String>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, Refusal> {
    let account = desk.account(&uid, &asked)?;
    Ok(HttpResponse::Ok().json(desk.memberships.suspensions.suspend(&account, &actor).await?))
}

/// Shows the suspension of an account.
#[utoipa::path(
    get,
    path = "/accounts/{uid}/suspension",
    operation_id = "show_suspension",
    tag = "personal data",
    params(("uid" = Uid, Path, description = "The account."), Asked),
    responses(
        (status = 200, description = "The suspension.", body = Suspension),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn suspension(
    desk: Permitted<Read>,
    uid: web::Path<String>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, Refusal> {
    let account = desk.account(&uid, &asked)?;
    let found = desk.memberships.suspensions.find(&account).await?;
    Ok(HttpResponse::Ok().json(found.ok_or_else(not_suspended)?))
}

/// Lifts the suspension of an account.
#[utoipa::path(
    delete,
    path = "/accounts/{uid}/suspension",
    operation_id = "lift_suspension",
    tag = "personal data",
    params(("uid" = Uid, Path, description = "The account."), Asked),
    responses(
        (status = 204, description = "The suspension is lifted."),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn lift(
    desk: Permitted<Write>,
    LoggedIn(actor): LoggedIn,
    uid: web::Path<String>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, Refusal> {
    let account = desk.account(&uid, &asked)?;
    desk.memberships.suspensions.lift(&account, &actor).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lists the accounts that are suspended.
#[utoipa::path(
    get,
    path = "/suspensions",
    operation_id = "list_suspensions",
    tag = "personal data",
    params(Query, Asked),
    responses((status = 200, description = "A page of accounts, by uid.", body = SuspensionsBody)),
)]
pub(super) async fn suspensions(
    desk: Permitted<Read>,
    query: web::Query<Query>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, Refusal> {
    let (after, limit) = query.page(&desk.limits)?;
    let tenant = desk.tenant(&asked)?;
    let found = desk.memberships.suspensions.list(tenant.as_ref(), after.as_ref(), limit).await?;
    let (suspensions, more) = found;
    Ok(HttpResponse::Ok().json(SuspensionsBody { suspensions, more }))
}
