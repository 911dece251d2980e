//! What an S3 store's answer means.
use super::bucket::Bucket;
use crate::{BlobError, error::causes};
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use std::error::Error;

/// The status of the answer, when there was one.
pub(super) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// The code in the answer, such as `NoSuchKey`. An answer to HEAD has none.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code).filter(|code| !code.is_empty())
}

/// The store does not know a header that it was sent.
pub(super) fn is_not_implemented<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match status(error) {
        Some(501) => true,
        Some(400) => matches!(code(error), Some("NotImplemented" | "NotSupported" | "InvalidArgument")),
        _ => false,
    }
}

/// Two writes of one name at the same moment: neither was refused for good.
pub(super) fn is_conflict<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    status(error) == Some(409) && matches!(code(error), Some("ConditionalRequestConflict" | "OperationAborted"))
}

impl Bucket {
    /// What to tell. `key` is the object that was asked for; without it a 404 is about the bucket.
    pub(super) fn failed<E>(
        &self,
        operation: &'static str,
        key: Option<&str>,
        error: SdkError<E, HttpResponse>,
    ) -> BlobError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let store = self.description.clone();
        match &error {
            SdkError::TimeoutError(_) => return BlobError::Timeout { operation, store },
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                return BlobError::Timeout { operation, store };
            }
            SdkError::DispatchFailure(failure) => {
                let reason = failure.as_connector_error().map_or_else(|| causes(&error), |inner| causes(inner));
                return self.unavailable_because(operation, reason, error);
            }
            SdkError::ServiceError(_) => {}
            _ => return self.unavailable(operation, error),
        }
        let status = status(&error).unwrap_or_default();
        let code = code(&error).unwrap_or_default();
        let denied = |reason: String| BlobError::Denied { operation, store: store.clone(), reason };
        match (status, code) {
            (_, "NoSuchBucket") => self.no_bucket(),
            (_, "NoSuchKey") | (404, "" | "NotFound") => match key {
                Some(key) => BlobError::NotFound { key: key.to_owned() },
                None => self.no_bucket(),
            },
            (412, _) => BlobError::Exists { key: key.unwrap_or_default().to_owned() },
            (_, "SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequests")
            | (_, "BandwidthLimitExceeded" | "SlowDownRead" | "SlowDownWrite")
            | (429, _) => BlobError::Throttled { operation, store },
            (_, "RequestTimeout") => BlobError::Timeout { operation, store },
            (_, "QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" | "InsufficientStorage")
            | (507, _) => BlobError::NoSpace { store },
            (_, "InvalidAccessKeyId") => denied("it does not know the access key; correct access_key".into()),
            (_, "SignatureDoesNotMatch") => {
                denied("the secret key does not belong to the access key; correct secret_key".into())
            }
            (_, "ExpiredToken" | "TokenRefreshRequired" | "InvalidToken") => {
                denied("the session token is wrong or has expired; renew it".into())
            }
            (_, "RequestTimeTooSkewed" | "RequestExpired") => {
                denied("this machine's clock and the store's differ too much; set the clock (NTP)".into())
            }
            (_, "InvalidObjectState") => {
                denied("the object is archived; bring it back with the provider's tool first".into())
            }
            (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "TemporaryRedirect") | (301 | 307, _) => {
                BlobError::InvalidConfig {
                    message: format!(
                        "{store} is in another region or at another endpoint ({}); correct region and endpoint",
                        answer(status, &error)
                    ),
                }
            }
            (401 | 403, _) => denied(format!(
                "{}; check access_key and secret_key, and that they may list the bucket and read, write and delete objects in it",
                answer(status, &error)
            )),
            (_, "InternalError" | "ServiceUnavailable" | "ConditionalRequestConflict" | "OperationAborted")
            | (500.., _) => {
                let reason = format!("it answered {}", answer(status, &error));
                self.unavailable_because(operation, reason, error)
            }
            _ => BlobError::Protocol { operation, store, answer: answer(status, &error) },
        }
    }

    /// The store could not be reached, or has a fault of its own.
    pub(super) fn unavailable(&self, operation: &'static str, error: impl Error + Send + Sync + 'static) -> BlobError {
        self.unavailable_because(operation, causes(&error), error)
    }

    fn unavailable_because(
        &self,
        operation: &'static str,
        reason: String,
        error: impl Error + Send + Sync + 'static,
    ) -> BlobError {
        BlobError::Unavailable { operation, store: self.description.clone(), reason, source: Some(Box::new(error)) }
    }

    fn no_bucket(&self) -> BlobError {
        BlobError::InvalidConfig {
            message: format!(
                "there is no bucket '{}' ({}); create it, or correct bucket, endpoint and path_style",
                self.name, self.description
            ),
        }
    }
}

/// Status, code and message of an answer in a few words.
fn answer<E: ProvideErrorMetadata>(status: u16, error: &SdkError<E, HttpResponse>) -> String {
    let of = error.as_service_error();
    let code = of.and_then(ProvideErrorMetadata::code).unwrap_or_default();
    let message = of.and_then(ProvideErrorMetadata::message).unwrap_or_default();
    let text = format!("{status} {code} {message}");
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}
