//! A JSON body that may be left out.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use serde::de::DeserializeOwned;

/// The body, or the default of its type if there is none or null. Anything else must be right.
pub(super) struct Optional<T>(pub(super) T);

impl<T: DeserializeOwned + Default + 'static> FromRequest for Optional<T> {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if matches!(payload, Payload::None) {
            return Box::pin(async { Ok(Self(T::default())) });
        }
        let body = web::Json::<Option<T>>::from_request(request, payload);
        Box::pin(async { Ok(Self(body.await?.into_inner().unwrap_or_default())) })
    }
}
