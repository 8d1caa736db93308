//! Admission: the rules of [`crate::validate`] behind HTTP.
//!
//! In: an `AdmissionReview` of kube-apiserver. Out: the same with an answer: refused with every
//! mistake, or allowed with warnings. No rule stands here, and nothing is looked up, so an answer
//! never waits for anything. Who serves TLS in front of [`router`] is `run`'s business.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::post;
use kube::core::DynamicObject;
use kube::core::Status;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use kube::core::response::{StatusCause, StatusDetails, StatusSummary};
use serde::de::DeserializeOwned;

use crate::api::{DataStore, TenantControlPlane};
use crate::validate::{self, Limits, Review};

/// Where tenant control planes are looked at.
pub const TENANT_CONTROL_PLANE_PATH: &str =
    "/validate-kamaji-clastix-io-v1alpha1-tenantcontrolplane";

/// Where stores are looked at.
pub const DATA_STORE_PATH: &str = "/validate-kamaji-clastix-io-v1alpha1-datastore";

/// An update carries an object twice, and etcd takes 1.5 MiB of each.
const LARGEST_REVIEW: usize = 8 * 1024 * 1024;

/// kube-apiserver cuts a warning that is longer.
const LONGEST_WARNING: usize = 256;

/// The webhook's pages.
pub fn router(limits: Limits) -> Router {
    Router::new()
        .route(TENANT_CONTROL_PLANE_PATH, post(tenant_control_plane))
        .route(DATA_STORE_PATH, post(data_store))
        .layer(DefaultBodyLimit::max(LARGEST_REVIEW))
        .with_state(Arc::new(limits))
}

async fn tenant_control_plane(State(limits): State<Arc<Limits>>, body: Bytes) -> Response {
    answer(&body, |object: &TenantControlPlane, before| {
        let unchanged = before.is_some_and(|before| before.spec == object.spec);
        (
            unchanged,
            validate::tenant_control_plane(object, before, &limits),
        )
    })
}

async fn data_store(body: Bytes) -> Response {
    answer(&body, |object: &DataStore, before| {
        let unchanged = before.is_some_and(|before| before.spec == object.spec);
        (unchanged, validate::data_store(object, before))
    })
}

/// What `look` says of the object, wrapped as kube-apiserver wants it.
fn answer<T: DeserializeOwned>(
    body: &[u8],
    look: impl FnOnce(&T, Option<&T>) -> (bool, Review),
) -> Response {
    let request: AdmissionRequest<DynamicObject> = match read(body) {
        Ok(request) => request,
        Err(error) => return (StatusCode::BAD_REQUEST, error).into_response(),
    };
    let response = AdmissionResponse::from(&request);
    Json(judge(&request, response, look).into_review()).into_response()
}

fn read(body: &[u8]) -> Result<AdmissionRequest<DynamicObject>, String> {
    serde_json::from_slice::<AdmissionReview<DynamicObject>>(body)
        .map_err(|error| format!("not an AdmissionReview: {error}\n"))?
        .try_into()
        .map_err(|error| format!("an AdmissionReview without a request: {error}\n"))
}

fn judge<T: DeserializeOwned>(
    request: &AdmissionRequest<DynamicObject>,
    mut response: AdmissionResponse,
    look: impl FnOnce(&T, Option<&T>) -> (bool, Review),
) -> AdmissionResponse {
    let Some(object) = request
        .object
        .as_ref()
        .filter(|_| request.operation != Operation::Delete)
    else {
        return response;
    };
    // Whoever deletes must be able to take finalizers off, whatever the spec says.
    if object.metadata.deletion_timestamp.is_some() {
        return response;
    }
    let typed: T = match parse(object) {
        Ok(typed) => typed,
        Err(error) => return refuse(response, &error.to_string(), Vec::new()),
    };
    let before: Option<T> = request.old_object.as_ref().and_then(|old| parse(old).ok());
    let (unchanged, review) = look(&typed, before.as_ref());
    if !review.warnings.is_empty() {
        response.warnings = Some(
            review
                .warnings
                .iter()
                .map(|warning| short(&warning.to_string()))
                .collect(),
        );
    }
    // Labels and annotations can be set on what an older version let in.
    if review.is_clean() || unchanged {
        return response;
    }
    let causes = review
        .violations
        .iter()
        .map(|violation| StatusCause {
            reason: "FieldValueInvalid".to_owned(),
            message: format!("{:?}: {}", violation.value, violation.message),
            field: violation.field.clone(),
        })
        .collect();
    refuse(response, &review.explain(), causes)
}

fn parse<T: DeserializeOwned>(object: &DynamicObject) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::to_value(object)?)
}

fn refuse(
    mut response: AdmissionResponse,
    message: &str,
    causes: Vec<StatusCause>,
) -> AdmissionResponse {
    response.allowed = false;
    response.result = Status {
        status: Some(StatusSummary::Failure),
        message: message.to_owned(),
        reason: "Invalid".to_owned(),
        code: 422,
        details: Some(StatusDetails {
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes,
            retry_after_seconds: 0,
        }),
        metadata: None,
    };
    response
}

/// The beginning of a text that would be too long.
fn short(text: &str) -> String {
    if text.len() <= LONGEST_WARNING {
        return text.to_owned();
    }
    let mut kept = String::new();
    for letter in text.chars() {
        if kept.len() + letter.len_utf8() + '…'.len_utf8() > LONGEST_WARNING {
            break;
        }
        kept.push(letter);
    }
    kept + "…"
}

#[cfg(test)]
mod tests;
