//! `/v1/admin/accounts/{uid}/suspension` and `/v1/admin/suspensions`: accounts that may not use any channel.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    Uid,
    rest::{Suspension, SuspensionsBody},
    schemas::problems::NotFound,
};

use super::{Desk, LoggedIn, by_uid::Query};
use crate::suspensions::not_suspended;

/// Suspends an account, which need not be a member anywhere.
#[utoipa::path(
    put,
    path = "/accounts/{uid}/suspension",
    tag = "personal data",
    params(("uid" = Uid, Path, description = "The account.")),
    responses((status = 200, description = "The suspension.", body = Suspension)),
)]
pub(super) async fn suspend(
    desk: web::Data<Desk>,
    LoggedIn(actor): LoggedIn,
    uid: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let uid = desk.limits.parse_uid("uid", &uid)?;
    Ok(HttpResponse::Ok().json(desk.memberships.suspensions.suspend(&uid, &actor).await?))
}

/// Shows the suspension of an account.
#[utoipa::path(
    get,
    path = "/accounts/{uid}/suspension",
    operation_id = "show_suspension",
    tag = "personal data",
    params(("uid" = Uid, Path, description = "The account.")),
    responses(
        (status = 200, description = "The suspension.", body = Suspension),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn suspension(
    desk: web::Data<Desk>,
    uid: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let uid = desk.limits.parse_uid("uid", &uid)?;
    let found = desk.memberships.suspensions.find(&uid).await?;
    Ok(HttpResponse::Ok().json(found.ok_or_else(not_suspended)?))
}

/// Lifts the suspension of an account.
#[utoipa::path(
    delete,
    path = "/accounts/{uid}/suspension",
    operation_id = "lift_suspension",
    tag = "personal data",
    params(("uid" = Uid, Path, description = "The account.")),
    responses(
        (status = 204, description = "The suspension is lifted."),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn lift(
    desk: web::Data<Desk>,
    LoggedIn(actor): LoggedIn,
    uid: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let uid = desk.limits.parse_uid("uid", &uid)?;
    desk.memberships.suspensions.lift(&uid, &actor).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lists the accounts that are suspended.
#[utoipa::path(
    get,
    path = "/suspensions",
    operation_id = "list_suspensions",
    tag = "personal data",
    params(Query),
    responses((status = 200, description = "A page of accounts, by uid.", body = SuspensionsBody)),
)]
pub(super) async fn suspensions(
    desk: web::Data<Desk>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Refusal> {
    let (after, limit) = query.page(&desk.limits)?;
    let (suspensions, more) = desk.memberships.suspensions.list(after.as_ref(), limit).await?;
    Ok(HttpResponse::Ok().json(SuspensionsBody { suspensions, more }))
}
